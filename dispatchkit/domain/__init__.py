"""The words of the field, said once: states, rows, changes and the rules of dispatching."""

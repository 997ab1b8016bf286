"""Words that every room shares. Nothing here does I/O, reads the clock or knows a database."""

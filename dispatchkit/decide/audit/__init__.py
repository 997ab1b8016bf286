"""The audit trail read back: what happened to a delivery, step by step, and how things stood at an instant."""

"""The audit trail: verify, seal, prune, export, erase."""

"""Escalation: a search without a driver climbs from level to level until somebody resolves it."""

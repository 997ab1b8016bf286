"""Escalation: what stays without a driver climbs a ladder, each rung once, until somebody resolves it."""

"""Reassignment: suspect a stalled assignment, nudge, wait, and take it away if somebody else is sooner."""

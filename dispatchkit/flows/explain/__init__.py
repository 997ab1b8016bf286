"""Answers to questions about live work: why, why not, listings."""

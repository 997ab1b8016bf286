"""Sends events of the outbox to a log, a file or a webhook. Flows decide which events, and when."""

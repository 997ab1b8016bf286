"""Ways out: how an event of the outbox reaches a log, a file or a gateway. Flows decide which events, and when."""

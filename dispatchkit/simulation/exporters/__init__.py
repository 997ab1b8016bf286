"""Tables of one simulated day, one file a subject: each function returns the rows of one table."""

"""Data in and out: import, extract, load, reports, the made-up city."""

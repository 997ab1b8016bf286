"""Faults planted into the program or the database at run time: the suite must notice every one of them."""

from __future__ import annotations


def plant(name: str) -> None:
    """Plant a fault into this process."""
    raise KeyError(name)

"""Named points a run passes. They do nothing; the crash tests put a hook here and kill the process at each in turn."""

from __future__ import annotations

from collections.abc import Callable

hook: Callable[[str], None] | None = None


def failpoint(name: str) -> None:
    """Say that the run has reached a point."""
    if hook is not None:
        hook(name)

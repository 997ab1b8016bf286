"""Failpoints: named points of a run that do nothing by themselves.

The crash tests set `hook` and kill the process at each point in turn.
"""

from __future__ import annotations

from collections.abc import Callable

hook: Callable[[str], None] | None = None


def failpoint(name: str) -> None:
    """Call the hook, if a test has set one."""
    if hook is not None:
        hook(name)

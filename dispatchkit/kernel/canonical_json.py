"""JSON whose bytes are the same for equal values: instants as RFC 3339, sorted keys, no spaces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dispatchkit.kernel.clock import rfc3339


def plain(value: Any) -> Any:
    """Return a value with instants as RFC 3339 text, fit for JSON; mappings keep their order."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def _plain(value: Any) -> Any:
    """Return what JSON has no word for in its words."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


_SORTED, _AS_GIVEN = (
    json.JSONEncoder(
        sort_keys=sort, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )
    for sort in (True, False)
)


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal bytes."""
    return _SORTED.encode(value)


def compact(value: Any) -> str:
    """Return JSON without spaces, keys in their order."""
    return _AS_GIVEN.encode(value)

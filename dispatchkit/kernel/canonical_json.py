"""JSON whose bytes are the same for equal values: instants as RFC 3339, sorted keys, no spaces."""

from __future__ import annotations

import json
import re
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


_ID_KEY = re.compile(r"(^|_)ids?$|[a-z]Ids?$")  # id, driver_id, held_delivery_ids, offerId


def text_ids(value: Any, *, is_id: bool = False) -> Any:
    """Return a value for JSON with every id as text; `id` or `..._id` as a key marks an id.

    Ids exceed 2^53, above which JavaScript and jq 1.6 round integers: an id read from a rounded
    document would not be found again.
    """
    if isinstance(value, Mapping):
        return {
            key: text_ids(part, is_id=_ID_KEY.search(str(key)) is not None)
            for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [text_ids(part, is_id=is_id) for part in value]
    return str(value) if is_id and isinstance(value, int) else value


def _plain(value: Any) -> Any:
    """Return an instant or a mapping in a form that JSON has."""
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

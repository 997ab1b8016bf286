"""Counts and notes of the reliability tests of all workers, printed at the session's end."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from tests.databases import HOME


def add(name: str, number: int = 1) -> None:
    """Add to one of the counts that the end of the session prints."""
    _write({"name": name, "number": number})


def note(heading: str, line: str) -> None:
    """Keep a line for the end of the session, under a heading."""
    _write({"heading": heading, "line": line})


def summary() -> list[str]:
    """Return the lines of this session: counts by name, then the notes by heading, each sorted."""
    counts: Counter[str] = Counter()
    notes: list[tuple[str, str]] = []
    for line in _file().read_text().splitlines() if _file().exists() else []:
        entry = json.loads(line)
        if "name" in entry:
            counts[entry["name"]] += entry["number"]
        else:
            notes.append((entry["heading"], entry["line"]))
    lines = [f"{name}: {number}" for name, number in sorted(counts.items())]
    for heading in sorted({heading for heading, _ in notes}):
        lines += [f"{heading}:", *sorted(f"  {line}" for other, line in notes if other == heading)]
    return lines


def _write(entry: dict[str, str | int]) -> None:
    # One short write at the end of a file: workers do not overwrite each other.
    with _file().open("a") as file:
        file.write(json.dumps(entry) + "\n")


def _file() -> Path:
    return Path(os.environ[HOME]) / "counts"

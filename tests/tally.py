"""What the reliability tests counted, told by every worker and printed when the session ends."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from tests.databases import HOME


def count(what: str, number: int = 1) -> None:
    """Add to one of the counts that the end of the session prints."""
    _write({"what": what, "number": number})


def note(about: str, line: str) -> None:
    """Keep a line for the end of the session, under a heading."""
    _write({"about": about, "line": line})


def told() -> list[str]:
    """Return the lines of this session: counts by name, then the notes by heading, each sorted."""
    counts: Counter[str] = Counter()
    notes: list[tuple[str, str]] = []
    for line in _file().read_text().splitlines() if _file().exists() else []:
        said = json.loads(line)
        if "what" in said:
            counts[said["what"]] += said["number"]
        else:
            notes.append((said["about"], said["line"]))
    lines = [f"{what}: {number}" for what, number in sorted(counts.items())]
    for about in sorted({about for about, _ in notes}):
        lines += [f"{about}:", *sorted(f"  {line}" for other, line in notes if other == about)]
    return lines


def _write(said: dict[str, str | int]) -> None:
    with _file().open(
        "a"
    ) as file:  # one short write at the end of a file: workers do not cut into each other
        file.write(json.dumps(said) + "\n")


def _file() -> Path:
    return Path(os.environ[HOME]) / "tally"

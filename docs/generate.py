"""Print the reference pages from the code: `python docs/generate.py` writes docs/reference/*.md.

A test holds the pages equal to what this prints.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import dispatchkit
from dispatchkit.domain import codes, states
from dispatchkit.domain.contract import Column
from dispatchkit.domain.tables import ROW_CLASSES, ROW_KINDS, TABLES
from dispatchkit.kernel import errors, fault_codes
from dispatchkit.kernel.documented_enum import DocumentedEnum
from dispatchkit.kernel.machine import INITIAL
from dispatchkit.routing import check

ROOT = Path(__file__).parents[1]
HEAD = "<!-- Printed by docs/generate.py; do not edit. -->\n\n"


def states_page() -> str:
    """Return every vocabulary of states, and the moves of each kind of row."""
    lines = ["# States and their moves", ""]
    lines += _vocabularies(states)
    lines += ["## Moves", "", "What is not listed is refused.", ""]
    for kind in ROW_KINDS.values():
        if kind.machine is None:
            continue
        lines += [f"### {kind.entity} (`{kind.table}`)", "", "| from | to |", "|---|---|"]
        for state, targets in kind.machine.moves.items():
            listed = ", ".join(f"`{target}`" for target in sorted(targets))
            lines.append(f"| {f'`{state}`' if state != INITIAL else '(new)'} | {listed} |")
        lines.append("")
    return "\n".join(lines)


def codes_page() -> str:
    """Return every event, reason, result of an act and rule with its meaning."""
    lines = ["# Events, reasons, results and rules", ""]
    lines += ["What receivers of events, `--json` and the audit trail say.", ""]
    return "\n".join([*lines, *_vocabularies(codes), *_vocabularies(check)])


def tables_page() -> str:
    """Return every table with its columns."""
    lines = [
        "# Tables",
        "",
        "Times are UTC with microseconds, money whole cents, distances metres.",
        "",
    ]
    for table, contract in TABLES.items():
        lines += [f"## `{table}`", "", _first_line(ROW_CLASSES[table]), ""]
        lines += ["| column | type | what it must be |", "|---|---|---|"]
        for name, column in contract.columns().items():
            lines.append(f"| `{name}` | {_type(column)} | {_limits(column)} |")
        lines.append("")
    return "\n".join(lines)


def exit_codes_page() -> str:
    """Return the exit codes with the errors that lead to them."""
    lines = [
        "# Exit codes",
        "",
        "0 means done, or nothing to do. One line on stderr says what came,",
    ]
    lines += ["where, and what to do; it begins with the error code.", ""]
    lines += ["| exit | error code | means |", "|---|---|---|"]
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    known = [c for c in classes if issubclass(c, errors.DispatchError)]
    for error in sorted(known, key=lambda c: (c.exit_code, c.__name__)):
        lines.append(f"| {error.exit_code} | `{error.code}` | {_first_line(error)} |")
    lines += ["", "130 and 143: interrupted, terminated. 141: whoever read the output went away."]
    lines += ["", "Exit code 1 is always a bug; please report it.", ""]
    lines += _vocabularies(fault_codes)
    return "\n".join(lines)


def configuration_page() -> str:
    """Return the settings as they stand in the shipped files."""
    lines = [
        "# Configuration",
        "",
        "The defaults, as in `configs/default.toml` and `configs/flags.toml`.",
    ]
    for name in ("default.toml", "flags.toml"):
        text = (ROOT / "configs" / name).read_text("utf-8").strip()
        lines += ["", f"## configs/{name}", "", "```toml", text, "```"]
    return "\n".join([*lines, ""])


def python_api_page() -> str:
    """Return the public names of `import dispatchkit as dk`."""
    lines = [
        "# Python API",
        "",
        "`import dispatchkit as dk` loads nothing heavy; each name is loaded when it is",
    ]
    lines += ["first used. Other modules may change without notice.", ""]
    lines += ["| name | does | defined in |", "|---|---|---|"]
    for name, place in dispatchkit.PUBLIC.items():
        about = _first_line(getattr(dispatchkit, name))
        lines.append(f"| `dk.{name}` | {about} | `{place.partition(':')[0]}` |")
    return "\n".join([*lines, ""])


def pages() -> dict[str, str]:
    """Return file name -> text of every reference page."""
    texts = {
        "states.md": states_page(),
        "codes.md": codes_page(),
        "tables.md": tables_page(),
        "exit-codes.md": exit_codes_page(),
        "configuration.md": configuration_page(),
        "python-api.md": python_api_page(),
    }
    return {name: HEAD + text for name, text in texts.items()}


def _vocabularies(module: ModuleType) -> list[str]:
    lines: list[str] = []
    for enum in (e for e in vars(module).values() if _is_vocabulary(e)):
        lines += [f"## {enum.__name__}", "", _first_line(enum), "", "| word | means |", "|---|---|"]
        lines += [f"| `{member}` | {member.meaning} |" for member in enum]
        lines.append("")
    return lines


def _is_vocabulary(value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, DocumentedEnum)
        and value is not DocumentedEnum
    )


def _first_line(documented: object) -> str:
    return re.split(r"\n\n", (documented.__doc__ or "").strip())[0].replace("\n", " ")


def _type(column: Column) -> str:
    names = {"Int64": "whole number", "Float64": "number", "Boolean": "true or false"}
    names |= {"String": "text", "Date": "day", "Datetime": "instant"}
    return names[str(column.dtype.base_type())] + (", may be empty" if column.nullable else "")


def _limits(column: Column) -> str:
    if column.primary_key:
        return "unique"
    if column.references:
        return f"an id of `{column.references}`"
    if column.words:
        return ", ".join(f"`{word}`" for word in column.words)
    if column.allowed:
        return ", ".join(str(number) for number in column.allowed)
    if column.pattern:
        return f"matches `{column.pattern}`"
    low, high = column.min, column.max
    if column.min_length is not None or column.max_length is not None:
        return f"{column.min_length or 0} to {column.max_length} characters"
    if "Datetime" in str(column.dtype) or low is None:
        return ""
    return f"{low:g} to {high:g}" if high is not None else f"at least {low:g}"


if __name__ == "__main__":
    folder = ROOT / "docs" / "reference"
    folder.mkdir(exist_ok=True)
    for page, text in pages().items():
        (folder / page).write_text(text, "utf-8")
        print(f"docs/reference/{page}", file=sys.stderr)

"""Every code that decisions speak is documented in an enum."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from dispatchkit.decide import __path__ as decide_path
from dispatchkit.domain import codes, duty, states
from dispatchkit.kernel.documented_enum import DocumentedEnum
from dispatchkit.kernel.fault_codes import FileFault, RowFault

FILES = sorted(Path(next(iter(decide_path))).rglob("*.py"))
CODE = re.compile(r"[A-Z]{2,}(_[A-Z]+)+")
DOCUMENTED = {
    str(member)
    for module in (codes, duty, states)
    for enum in vars(module).values()
    if isinstance(enum, type) and issubclass(enum, DocumentedEnum)
    for member in enum
}


def undocumented_codes(source: str) -> set[str]:
    """Return the string constants that look like codes and are members of no vocabulary."""
    constants = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in constants if CODE.fullmatch(text)} - DOCUMENTED


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_codes_of_decisions_are_documented(path: Path) -> None:
    assert undocumented_codes(path.read_text("utf-8")) == set()


def test_invented_code_is_noticed() -> None:
    assert undocumented_codes('refused("NOT_INVENTED_YET")') == {"NOT_INVENTED_YET"}


def test_error_codes_are_written_once() -> None:
    package = Path(codes.__file__).parents[1]
    with_code = {
        path.name
        for path in package.rglob("*.py")
        if re.search(r'"DK-(IN|AUD)-\w+"', path.read_text("utf-8"))
    }
    assert with_code == {"fault_codes.py"}


@pytest.mark.parametrize("enum", [codes.EventName, codes.ChangeReason, codes.ActResult, codes.Rule])
def test_every_documented_code_is_used(enum: type[DocumentedEnum]) -> None:
    package = Path(codes.__file__).parents[1]
    source = "".join(path.read_text("utf-8") for path in package.rglob("*.py"))
    unused = {m.name for m in enum if not re.search(rf"{enum.__name__}\.{m.name}\b", source)}
    assert unused == set()


def test_every_code_has_a_meaning() -> None:
    enums = (
        codes.EventName,
        codes.ChangeReason,
        codes.LadderClock,
        codes.ActResult,
        codes.Rule,
        FileFault,
        RowFault,
    )
    assert [member for enum in enums for member in enum if not member.meaning] == []

"""Every error has its documented exit code, and its message tells no secret."""

from __future__ import annotations

import pytest

from dispatchkit.kernel import errors
from dispatchkit.kernel.errors import DispatchError, InputMissing, shown

EXIT_CODES = {
    "DispatchError": 1,
    "Usage": 2,
    "Refused": 3,
    "IllegalTransition": 3,
    "BadData": 65,
    "InputMissing": 66,
    "DatabaseUnavailable": 69,
    "CannotCreate": 73,
    "IOFailed": 74,
    "TryLater": 75,
    "SchemaMismatch": 76,
    "NotPermitted": 77,
    "BadConfig": 78,
}
CLASSES = sorted(
    (c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, DispatchError)),
    key=lambda c: c.__name__,
)


def test_exit_codes_are_those_of_contract():
    assert {c.__name__: c.exit_code for c in CLASSES} == EXIT_CODES


@pytest.mark.parametrize("error", CLASSES)
def test_error_message_defaults_to_docstring(error):
    first = error.__doc__.splitlines()[0]
    assert first.endswith(".")
    assert str(error()) == first
    assert str(error("orders.csv: no such file")) == "orders.csv: no such file"
    assert error.code.startswith("DK-")


def test_error_may_carry_finer_code():
    assert InputMissing("x", code="DK-IN-033").code == "DK-IN-033"
    assert InputMissing("x").code == "DK-IN"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.5", "10.5"),
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("\u202e", "\\u202e"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "x" * 63 + "…"),
        (7, "7"),
    ],
)
def test_value_is_shown_cut_and_escaped(value, text):
    assert shown(value) == text


def test_personal_value_is_hidden():
    assert shown("+49 170 1234", harmless=False) == "<hidden, 12 chars>"

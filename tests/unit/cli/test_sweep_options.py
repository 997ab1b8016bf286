"""Options of `sweep` that would do nothing are refused before anything runs."""

from __future__ import annotations

import pytest

from dispatchkit.cli.main import run


@pytest.mark.parametrize(
    ("names", "option"),
    [
        (["availability"], ["--explain"]),
        (["offers", "routes"], ["--explain"]),
        (["audit"], ["--explain"]),
        (["audit"], ["--keep", "."]),
        (["outbox"], ["--max-rows", "5"]),
        (["audit"], ["-v"]),
    ],
)
def test_useless_option_is_refused(names, option, capsys):
    assert run(["sweep", *names, *option]) == 2
    assert option[0] in capsys.readouterr().err

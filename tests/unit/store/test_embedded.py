"""The embedded server on a busy machine."""

from __future__ import annotations

import subprocess

import pytest

from dispatchkit.store import embedded


def test_a_server_that_is_still_starting_is_waited_for(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    meets = [
        subprocess.TimeoutExpired("pg_ctl", 10),
        AssertionError("starting"),
        AssertionError("starting"),
    ]

    def start() -> str:
        if meets:
            raise meets.pop(0)
        return "ready"

    assert embedded._patiently(start) == "ready"


def test_one_that_never_comes_is_given_up(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)

    def start() -> str:
        raise subprocess.TimeoutExpired("pg_ctl", 10)

    with pytest.raises(subprocess.SubprocessError):
        embedded._patiently(start)

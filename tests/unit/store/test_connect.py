"""A connection to another machine is encrypted and verified, unless its URL says otherwise."""

from __future__ import annotations

import pytest

from dispatchkit.store import connect


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@db.example/x",
        "postgresql://u@192.0.2.7:6000/x",
        "postgresql:///x?host=db.example",
        "postgresql:///x?host=/tmp,db.example",
    ],
)
def test_over_network_server_is_verified(monkeypatch, tmp_path, url):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert connect.engine(url).url.query["sslmode"] == "verify-full"
    assert connect.engine(url).url.query["sslrootcert"] == "system"
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").touch()
    assert "sslrootcert" not in connect.engine(url).url.query, "libpq finds its own"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///x",
        "postgresql:///x?host=/tmp/socket",
        "postgresql://u@localhost/x",
        "postgresql://u@127.0.0.1:6000/x",
        "postgresql://u@[::1]/x",
        "postgresql://u@db.example/x?sslmode=disable",
    ],
)
def test_local_or_explicit_url_is_unchanged(url):
    query = connect.engine(url).url.query
    assert query.get("sslmode", "disable") == "disable"
    assert "sslrootcert" not in query


def test_environment_has_its_say(monkeypatch):
    monkeypatch.setenv("PGSSLMODE", "require")
    assert "sslmode" not in connect.engine("postgresql://u@db.example/x").url.query

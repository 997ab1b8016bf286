"""[senders.NAME] and [outbox]: contradictions are named by both keys; no secret is in a file."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dispatchkit.config import Settings
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.senders.opening import open_sender
from dispatchkit.senders.params import Outbox, SenderConfig, sender_configs

HOOK = {"kind": "webhook", "url": "https://push.example/events"}


def read(**senders: object) -> tuple[SenderConfig, ...]:
    return sender_configs(Settings(tables={"senders": senders}))


def test_senders_are_read_by_name():
    found = read(
        push={**HOOK, "events": ["offer_*"], "push": True, "timeout": "3s"},
        a={"kind": "file", "path": "x.jsonl"},
    )
    assert [(way.name, way.kind, way.push) for way in found] == [
        ("a", "file", False),
        ("push", "webhook", True),
    ]
    assert found[1].timeout == timedelta(seconds=3)


@pytest.mark.parametrize(
    ("senders", "named"),
    [
        ({"a": {"kind": "pigeon"}}, "senders.a.kind"),
        ({"a": {}}, "[senders.a]"),
        ({"a": 3}, "[senders.a]"),
        ({"A B": {"kind": "log"}}, "[senders.A B]"),
        ({"a": {"kind": "file"}}, "senders.a.path"),
        ({"a": {"kind": "webhook"}}, "senders.a.url"),
        ({"a": {"kind": "log", "path": "x"}}, "senders.a.path"),
        ({"a": {"kind": "file", "path": "x", "push": True}}, "senders.a.push"),
        ({"a": {"kind": "log", "colour": "red"}}, "colour"),
        ({"a": {**HOOK, "events": []}}, "senders.a.events"),
        ({"a": {**HOOK, "events": ["*_created"]}}, "senders.a.events"),
        ({"a": {**HOOK, "events": [""]}}, "senders.a.events"),
        ({"a": {**HOOK, "timeout": "0s"}}, "senders.a.timeout"),
        ({"a": {**HOOK, "url": "ftp://push.example"}}, "senders.a.url"),
        ({"a": {**HOOK, "url": "https://"}}, "senders.a.url"),
        ({"a": {**HOOK, "url": "https://push.example:port/"}}, "senders.a.url"),
        ({"a": {**HOOK, "url": "https://me:geheim@push.example"}}, "secret_env"),
        ({"a": {**HOOK, "url": "http://push.example"}}, "https://"),
        (
            {"a": {**HOOK, "push": True}, "b": {**HOOK, "push": True}},
            "senders.a.push and senders.b.push",
        ),
        (
            {"a": {"kind": "file", "path": "x"}, "b": {"kind": "file", "path": "x"}},
            "senders.a.path and senders.b.path",
        ),
    ],
)
def test_contradiction_is_named(senders, named):
    with pytest.raises(BadConfig) as said:
        read(**senders)
    assert named in str(said.value)
    assert "geheim" not in str(said.value)


@pytest.mark.parametrize(
    "given",
    [
        {"batch": 0},
        {"down_after": 0},
        {"first_wait": timedelta()},
        {"first_wait": timedelta(hours=1)},
        {"max_wait": timedelta(days=2)},
        {"patience": timedelta(seconds=-1)},
    ],
)
def test_contradiction_in_outbox_is_named(given):
    with pytest.raises(BadConfig, match=f"outbox.*{next(iter(given))}"):
        Outbox(**given)


def test_missing_secret_stops_run():
    way = SenderConfig(
        name="a", kind="webhook", url="https://push.example/", secret_env="PUSH_SECRET"
    )
    with pytest.raises(BadConfig, match=r"senders\.a\.secret_env names PUSH_SECRET"):
        open_sender(way, Outbox(), {})
    open_sender(way, Outbox(), {"PUSH_SECRET": "x"}).close()

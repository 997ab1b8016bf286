"""A gateway answers, refuses, hangs, drips or resets: each gives a receipt, never an exception."""

from __future__ import annotations

import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from email.message import Message as Headers

import pytest

from dispatchkit.senders.message import Message
from dispatchkit.senders.params import SenderConfig
from dispatchkit.senders.webhook import WebhookSender, retry_after
from tests.unit.senders.gateway import gateway


def message(key: str = "k1") -> Message:
    at = datetime(2026, 3, 2, 19, 30, tzinfo=UTC)
    return Message(
        id=7,
        event="offer_created",
        key=key,
        root=("delivery", 3),
        at=at,
        payload={"offerId": 81, "payCents": 1014},
    )


def sender(url: str, *, seconds: float = 5, secret: bytes = b"") -> WebhookSender:
    return WebhookSender(
        SenderConfig(name="push", kind="webhook", url=url, timeout=timedelta(seconds=seconds)),
        secret,
    )


@pytest.mark.parametrize(
    ("told", "outcome", "said"),
    [
        (200, "DELIVERED", ""),
        (204, "DELIVERED", ""),
        (400, "REFUSED", "HTTP 400"),
        (404, "REFUSED", "HTTP 404"),
        (410, "REFUSED", "HTTP 410"),
        (408, "RETRY", "HTTP 408"),
        (425, "RETRY", "HTTP 425"),
        (429, "RETRY", "HTTP 429"),
        (500, "RETRY", "HTTP 500"),
        (503, "RETRY", "HTTP 503"),
        ("reset", "RETRY", "ConnectionResetError"),
        ("garbage", "RETRY", "BadStatusLine"),
    ],
)
def test_each_answer_has_its_receipt(told, outcome, said):
    with gateway(told) as there:
        receipt = sender(there.url).send(message())
    assert (receipt.outcome, receipt.reason) == (outcome, said)
    assert len(there.posts) == 1


def test_redirect_is_not_followed():
    with gateway() as elsewhere, gateway((302, {"Location": elsewhere.url})) as there:
        receipt = sender(there.url).send(message())
    assert (receipt.outcome, receipt.reason, elsewhere.posts) == ("RETRY", "HTTP 302", [])


@pytest.mark.parametrize("told", ["hang", "drip"])
def test_incomplete_answer_is_timeout(told):
    with gateway(told) as there:
        began = time.monotonic()
        receipt = sender(there.url, seconds=0.3).send(message())
        assert time.monotonic() - began < 2
    assert (receipt.outcome, receipt.reason) == ("RETRY", "timeout")


def test_refused_connection_is_retried():
    with gateway() as there:
        url = there.url
    assert sender(url).send(message()).reason == "ConnectionRefusedError"


def test_message_is_posted_with_its_key_and_signed():
    with gateway() as there:
        sender(there.url, secret=b"s3cret").send(message("abc"))
    post = there.posts[0]
    assert (post["path"], post["key"]) == ("/events?to=phones", "abc")
    assert post["signature"] == hmac.new(b"s3cret", post["body"], "sha256").hexdigest()
    told = json.loads(post["body"])
    assert told == {
        "id": "7",
        "event": "offer_created",
        "key": "abc",
        "root": "delivery",
        "rootId": "3",
        "at": "2026-03-02T19:30:00.000000Z",
        "payload": {"offerId": "81", "payCents": 1014},
    }


def test_without_secret_nothing_is_signed():
    with gateway() as there:
        sender(there.url).send(message())
    assert there.posts[0]["signature"] is None


def test_messages_share_connection_and_survive_its_end():
    with gateway(204, "closing", 204) as there:
        sending = sender(there.url)
        receipts = []
        for key in ("a", "b", "c"):
            receipts.append(sending.send(message(key)).outcome)
            time.sleep(0.05)
        sending.close()
    assert receipts == ["DELIVERED"] * 3
    assert there.keys == ["a", "b", "c"]
    ports = [post["port"] for post in there.posts]
    assert ports[0] == ports[1] != ports[2]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "99999999999999999999"}, 86_400),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({}, 0),
        (
            {
                "Retry-After": "Mon, 02 Mar 2026 19:32:00 GMT",
                "Date": "Mon, 02 Mar 2026 19:30:00 GMT",
            },
            120,
        ),
        (
            {
                "Retry-After": "Mon, 02 Mar 2026 19:30:00 GMT",
                "Date": "Mon, 02 Mar 2026 19:32:00 GMT",
            },
            0,
        ),
        ({"Retry-After": "Mon, 02 Mar 2026 19:32:00 GMT"}, 0),
    ],
)
def test_retry_after_is_parsed(headers, seconds):
    told = Headers()
    for name, value in headers.items():
        told[name] = value
    assert retry_after(told) == timedelta(seconds=seconds)


def test_receipt_contains_retry_after():
    with gateway((429, {"Retry-After": "17"})) as there:
        assert sender(there.url).send(message()).wait == timedelta(seconds=17)

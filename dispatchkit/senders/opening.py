"""From a [senders.NAME] table to the sender it describes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dispatchkit.kernel.errors import BadConfig
from dispatchkit.senders.file import FileSender
from dispatchkit.senders.log import LogSender
from dispatchkit.senders.message import Sender
from dispatchkit.senders.params import Outbox, Way


def opened(way: Way, params: Outbox, environment: Mapping[str, str] = os.environ) -> Sender:
    """Return the sender; nothing is touched before its first message. Raises BadConfig if its secret is not there."""
    if way.kind == "log":
        return LogSender(params.batch)
    if way.kind == "file":
        return FileSender(Path(way.path), params.batch)
    from dispatchkit.senders.webhook import WebhookSender

    secret = environment.get(way.secret_env, "") if way.secret_env else ""
    if way.secret_env and not secret:
        raise BadConfig(
            f"senders.{way.name}.secret_env names {way.secret_env}, which the environment does not hold"
        )
    return WebhookSender(way, secret.encode())

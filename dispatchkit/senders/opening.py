"""From a [senders.NAME] table to the sender it describes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dispatchkit.kernel.errors import BadConfig
from dispatchkit.senders.file import FileSender
from dispatchkit.senders.log import LogSender
from dispatchkit.senders.message import Sender
from dispatchkit.senders.params import Outbox, SenderConfig


def open_sender(
    config: SenderConfig, params: Outbox, environment: Mapping[str, str] = os.environ
) -> Sender:
    """Return the sender; it opens nothing before its first message. Raises BadConfig for a missing secret."""
    if config.kind == "log":
        return LogSender(params.batch)
    if config.kind == "file":
        return FileSender(Path(config.path), params.batch)
    from dispatchkit.senders.webhook import WebhookSender

    secret = environment.get(config.secret_env, "") if config.secret_env else ""
    if config.secret_env and not secret:
        raise BadConfig(
            f"senders.{config.name}.secret_env names {config.secret_env}, which is not set in the environment"
        )
    return WebhookSender(config, secret.encode())

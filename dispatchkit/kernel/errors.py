"""One root for everything that can go wrong; each class knows the exit code that cron sees.

The first line of a class docstring is its default message. Messages say what came, where, and what to do;
they never carry a password, a name, a phone number or an address.
"""

from __future__ import annotations


class DispatchError(Exception):
    """The run failed."""

    exit_code: int = 1
    code: str = "DK-BUG"

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        doc = (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(message or doc)
        if code:
            self.code = str(code)


class Usage(DispatchError):
    """The command line has an unknown word or value."""

    exit_code = 2
    code = "DK-USE"


class Refused(DispatchError):
    """Done, but something was refused."""

    exit_code = 3
    code = "DK-REFUSED"


class BadData(DispatchError):
    """The input was refused as a whole, or a verification failed."""

    exit_code = 65
    code = "DK-IN"


class InputMissing(DispatchError):
    """There is no such input."""

    exit_code = 66
    code = "DK-IN"


class DatabaseUnavailable(DispatchError):
    """The database cannot be reached, or the connection was lost."""

    exit_code = 69
    code = "DK-DB"


class CannotCreate(DispatchError):
    """The output cannot be created."""

    exit_code = 73
    code = "DK-OUT"


class IOFailed(DispatchError):
    """Reading or writing failed half-way; nothing was kept."""

    exit_code = 74
    code = "DK-IO"


class TryLater(DispatchError):
    """Another run is at work; try again later."""

    exit_code = 75
    code = "DK-BUSY"


class SchemaMismatch(DispatchError):
    """The schema is not the one this program was written for."""

    exit_code = 76
    code = "DK-SCHEMA"


class NotPermitted(DispatchError):
    """Permission refused."""

    exit_code = 77
    code = "DK-PERM"


class BadConfig(DispatchError):
    """The configuration cannot be used."""

    exit_code = 78
    code = "DK-CONF"


class IllegalTransition(DispatchError):
    """The state machine does not allow this move."""

    exit_code = 3
    code = "DK-STATE"


def shown(value: object, *, harmless: bool = True, limit: int = 64) -> str:
    """Return `value` as it may stand in a message: cut, control characters escaped, hidden if personal."""
    text = str(value)
    if not harmless:
        return f"<hidden, {len(text)} chars>"
    escaped = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"

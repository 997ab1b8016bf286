"""`act`: one event by a person or a system, with its legal result or a named refusal. One file a group of words."""

from __future__ import annotations

import typer

from dispatchkit.cli.act import delivery, driver, escalation, offer, ping, reassign, ticket
from dispatchkit.cli.act.options import limited

GROUPS = {  # the word after `act`, its help, and the modules whose COMMANDS stand under it
    "offer": ("A driver answers an offer.", (offer,)),
    "driver": ("A driver comes, rests and goes.", (driver,)),
    "delivery": ("What happens to a delivery.", (delivery, reassign, escalation)),
    "ticket": ("What a person has to look at.", (ticket,)),
}


def register(app: typer.Typer) -> None:
    """Add `act` with its groups, and the phone's own word, `ping`."""
    act = typer.Typer(
        help="One event by a person or a system.", no_args_is_help=True, rich_markup_mode=None
    )
    for name, (help_text, parts) in GROUPS.items():
        group = typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None)
        for part in parts:
            for command in part.COMMANDS:
                group.command(command.__name__.strip("_").replace("_", "-"))(limited(command))
        act.add_typer(group, name=name)
    act.command()(ping.ping)
    app.add_typer(act, name="act")

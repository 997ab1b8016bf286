"""Lists of live rows, and one delivery with its offers, cases, searches and tickets."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from polars import selectors as cs

from dispatchkit.config import Settings
from dispatchkit.domain.dispatching import Dispatch
from dispatchkit.domain.duty import Availability, availability
from dispatchkit.domain.states import CASE, DELIVERY, DUTY, OFFER, OPEN, ROUTE, TICKET
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.gather import gather, queries
from dispatchkit.kernel.errors import Refused, Usage
from dispatchkit.kernel.flags import Flag
from dispatchkit.store.contract import Store

SQL = Path(__file__).with_name("listings.sql")
PLAIN = ("deliveries", "offers", "cases", "tickets", "routes", "outbox", "runs", "refusals")
LISTINGS = (*PLAIN, "drivers", "unassigned")  # the last two have computed columns
DRIVER_COLUMNS = (
    "id vehicle state availability work freshness unreachable same_place pinged_at duty_since break_until shift_end "
    "max_stack timeouts cooldown_until version"
).split()
STATES = {
    "deliveries": DELIVERY.states,
    "offers": OFFER.states,
    "drivers": DUTY.states | set(Availability),
    "unassigned": OPEN,
    "cases": CASE.states,
    "tickets": TICKET.states,
    "routes": ROUTE.states,
    "outbox": frozenset({"UNSENT", "UNWANTED", "WAITING", "DELIVERED", "REFUSED", "FAILED"}),
}


def listing(
    store: Store, settings: Settings, what: str, *, state: str | None = None, limit: int = 50
) -> pl.DataFrame:
    """Return at most `limit` rows of a listing, of one `state` if given. Raises Usage for unknown names."""
    if what not in LISTINGS:
        raise Usage(f"cannot show {what!r}; expected one of {', '.join(LISTINGS)}")
    if state not in (None, *STATES.get(what, (state,))):
        raise Usage(
            f"{what} are never {state!r}; expected one of {', '.join(sorted(STATES[what]))}"
        )
    if what == "drivers":
        return _drivers(store, settings, state, limit)
    return (
        _unassigned(store, settings, state, limit)
        if what == "unassigned"
        else _rows(store, what, state, limit)
    )


def _rows(store: Store, what: str, state: str | None, limit: int) -> pl.DataFrame:
    if state is None:
        return store.read({what: f"{queries(SQL)[what]} LIMIT :limit"}, {"limit": limit})[what]
    # Filtered here: text from the command line must not become SQL.
    rows = store.read({what: queries(SQL)[what]}, {})[what]
    column = "code" if what == "refusals" else "state"
    return rows.filter(pl.col(column) == state).head(limit)


def _unassigned(store: Store, settings: Settings, state: str | None, limit: int) -> pl.DataFrame:
    """Return at most `limit` deliveries without a driver, the least slack first, then the oldest.

    Slack, cause and next step are computed as the escalation sweep would now, for every delivery.
    """
    feature, now = catalog.feature("escalation"), store.clock()
    assert feature.decide is not None
    frames = gather(store, feature, Flag(name="escalation"), now).frames
    params, travel = catalog.params(feature, settings), catalog.travel(settings)
    explanations = feature.decide(frames, params, now, travel, seed=0).explanations()
    rows = [
        {"id": row["delivery_id"], **row} for row in explanations if state in (None, row["state"])
    ][:limit]
    instants = cs.matches("_(at|until)$").cast(pl.String).str.to_datetime(time_zone="UTC")
    return (
        pl.DataFrame(rows, infer_schema_length=None)
        .drop("delivery_id", strict=False)
        .with_columns(instants)
    )


def _drivers(store: Store, settings: Settings, state: str | None, limit: int) -> pl.DataFrame:
    """Return at most `limit` drivers: duty (`state`), work, freshness, and availability.

    state: a duty or an availability. unreachable: on duty, but the last ping is too old for offers.
    """
    now, params = store.clock(), settings.params("dispatch", Dispatch)
    cut = " LIMIT :limit" if state is None else ""
    rows = store.read({"drivers": queries(SQL)["drivers"] + cut}, {"now": now, "limit": limit})[
        "drivers"
    ]
    held, offered, duty = pl.col("held"), pl.col("asked"), pl.col("state")
    work = (
        pl.when(held > 0)
        .then(pl.format("ASSIGNED({})", held))
        .otherwise(pl.when(offered).then(pl.lit("OFFERED")).otherwise(pl.lit("IDLE")))
    )
    fresh = pl.Series(
        "freshness", [params.freshness(at, now) for at in rows["pinged_at"]], dtype=pl.String
    )
    drivers = rows.with_columns(
        fresh,
        availability=availability(duty, held, offered),
        work=work,
        same_place=pl.col("same_place").fill_null(False),
    ).with_columns(
        unreachable=pl.col("freshness").is_in(["STALE", "LOST"])
        & (pl.col("availability") != "OFFLINE"),
    )
    if state:
        drivers = drivers.filter((duty == state) | (pl.col("availability") == state))
    return drivers.select(DRIVER_COLUMNS).head(limit)


def delivery(store: Store, id_: int) -> dict[str, pl.DataFrame]:
    """Return a delivery with its offers, cases, searches, tickets. Raises Refused if unknown."""
    named = queries(SQL)
    names = {
        "delivery": "one_delivery",
        "offers": "its_offers",
        "cases": "its_cases",
        "searches": "its_searches",
        "tickets": "its_tickets",
    }
    frames = store.read({name: named[sql] for name, sql in names.items()}, {"delivery": id_})
    if frames["delivery"].is_empty():
        raise Refused(f"there is no delivery {id_}")
    return frames

"""The tables that live work writes and exports carry: columns, types, ranges and vocabularies, said once.

Every border uses these contracts: `data extract` and `data sample` write them, `data load` and `data import` check
them. `metadata={"ref": TABLE}` marks a foreign key; `"kind": "cents" | "lat" | "lon"` a unit; `"class": "position"`
what ages out.
Times are UTC microseconds, money whole cents, distances metres, durations seconds.
"""

from __future__ import annotations

from typing import Any

import dataframely as dy

from dispatchkit.domain.states import CASE, DELIVERY, DUTY, EPISODE, OFFER, ROUTE, TICKET
from dispatchkit.kernel.clock import EARLIEST, LATEST

VEHICLES = ("bicycle", "car", "walker", "scooter", "motorcycle", "van", "other")
PARTIES = ("customer", "merchant", "ops", "driver", "system")
DUTY_STATES = tuple(sorted(DUTY.states))


def _id() -> dy.Int64:
    return dy.Int64(primary_key=True, min=1)


def _ref(table: str, *, nullable: bool = False) -> dy.Int64:
    return dy.Int64(nullable=nullable, min=1, metadata={"ref": table})


def _at(*, nullable: bool = False) -> dy.Datetime:
    return dy.Datetime(
        nullable=nullable, min=EARLIEST, max_exclusive=LATEST, time_zone="UTC", time_unit="us"
    )


def _cents() -> dy.Int64:
    return dy.Int64(min=0, metadata={"kind": "cents"})


def _count(*, nullable: bool = False, least: int = 0) -> dy.Int64:
    return dy.Int64(nullable=nullable, min=least)


def _lat(*, nullable: bool = False) -> dy.Float64:
    return dy.Float64(
        nullable=nullable, min=-90, max=90, metadata={"kind": "lat", "class": "position"}
    )


def _lon(*, nullable: bool = False) -> dy.Float64:
    return dy.Float64(
        nullable=nullable, min=-180, max=180, metadata={"kind": "lon", "class": "position"}
    )


def _word(*, nullable: bool = False) -> dy.String:
    return dy.String(nullable=nullable, min_length=1, max_length=64)


def _one_of(words: Any, *, nullable: bool = False) -> dy.String:
    return dy.String(
        nullable=nullable,
        regex="^(" + "|".join(sorted(words)) + ")$",
        metadata={"words": sorted(words)},
    )


class Zones(dy.Schema):
    """Delivery zones: closed rings that neither overlap nor leave holes."""

    id = _id()
    name = _word()
    ring = dy.String(metadata={"kind": "geojson ring"})  # [[lon, lat], ...], closed


class Merchants(dy.Schema):
    """Where goods are picked up."""

    id = _id()
    label = dy.String(min_length=1, max_length=200)
    zone_id = _ref("delivery_zones", nullable=True)
    lat = _lat(nullable=True)  # not every source says where its merchants are
    lon = _lon(nullable=True)
    prep_s = _count(nullable=True)


class Customers(dy.Schema):
    """Who ordered: an id and nothing that names a person."""

    id = _id()
    since = _at(nullable=True)


class Drivers(dy.Schema):
    """Who carries. Duty is stored; work and freshness are derived."""

    id = _id()
    vehicle = _one_of(VEHICLES)
    duty = _one_of(DUTY_STATES)
    duty_since = _at(nullable=True)
    break_until = _at(nullable=True)
    shift_end = _at(nullable=True)
    max_stack = dy.Int64(min=1, max=3)
    zone_id = _ref("delivery_zones", nullable=True)
    timeouts = _count()
    cooldown_until = _at(nullable=True)
    version = _count(least=1)


class Orders(dy.Schema):
    """What the customer bought."""

    id = _id()
    customer_id = _ref("customers")
    merchant_id = _ref("merchants")
    zone_id = _ref("delivery_zones", nullable=True)
    placed_at = _at()
    ready_at = _at(nullable=True)
    promised_at = _at(nullable=True)
    items = _count()
    goods_cents = _cents()
    fee_cents = _cents()
    dropoff_lat = _lat(nullable=True)
    dropoff_lon = _lon(nullable=True)
    source = _word()


class Deliveries(dy.Schema):
    """The job of carrying an order; a second try is a new delivery with `replaces`."""

    id = _id()
    order_id = _ref("orders")
    replaces = _ref("deliveries", nullable=True)
    state = _one_of(DELIVERY.states)
    episode = _count(least=1)
    attempt = _count()
    priority = _count()
    driver_id = _ref("drivers", nullable=True)
    driver_unknown = dy.Bool()  # ended with a driver whom the source does not name
    slot = dy.Int64(nullable=True, min=1, max=3)
    created_at = _at()
    dispatch_at = _at()
    assigned_at = _at(nullable=True)
    started_at = _at(nullable=True)
    arrived_pickup_at = _at(nullable=True)
    picked_up_at = _at(nullable=True)
    arrived_dropoff_at = _at(nullable=True)
    ended_at = _at(nullable=True)
    ended_by = _one_of(PARTIES, nullable=True)
    ended_while = _word(nullable=True)  # the state in which it was cancelled or given up
    liable = _one_of(
        PARTIES, nullable=True
    )  # who answers for a delivery that was cancelled, failed or returned
    lock_until = _at(
        nullable=True
    )  # a person's assignment, not to be undone by a sweep before this
    version = _count(least=1)


class Locations(dy.Schema):
    """Pings: one timed position of a driver."""

    id = _id()
    driver_id = _ref("drivers")
    at = _at()
    lat = _lat()
    lon = _lon()


class Offers(dy.Schema):
    """One delivery proposed to one driver, with frozen payload and deadline."""

    id = _id()
    delivery_id = _ref("deliveries")
    driver_id = _ref("drivers")
    episode = _count(least=1)
    attempt = _count(least=1)
    ask = _count(least=1)
    state = _one_of(OFFER.states)
    cause = _word(nullable=True)
    mode = _one_of(("cascade", "waves", "broadcast", "forced"))
    pay_cents = _cents()  # what the driver would earn, the boost included
    boost_cents = _cents()
    distance_m = _count()
    payload = dy.String(max_length=4000)
    payload_sha256 = dy.String(regex="^[0-9a-f]{64}$")
    sent_at = _at()
    expires_at = _at()
    hard_deadline = _at()
    delivered_at = _at(nullable=True)
    viewed_at = _at(nullable=True)
    responded_at = _at(nullable=True)
    late = dy.Bool()
    version = _count(least=1)

    @dy.rule()
    def sent_before_expiry(cls) -> Any:
        return (cls.sent_at.col < cls.expires_at.col) & (
            cls.expires_at.col <= cls.hard_deadline.col
        )

    @dy.rule()
    def answered_iff_ended(cls) -> Any:
        return (cls.state.col == "PENDING") == cls.responded_at.col.is_null()


class Duties(dy.Schema):
    """Duty intervals of a driver, half-open; `until` is empty while it lasts."""

    id = _id()
    driver_id = _ref("drivers")
    duty = _one_of(DUTY_STATES)
    since = _at()
    until = _at(nullable=True)
    reason = _word(nullable=True)
    shift_end = _at(nullable=True)  # the end of the shift as it was planned when the interval began
    version = _count(least=1)

    @dy.rule()
    def interval_not_empty(cls) -> Any:
        return cls.until.col.is_null() | (cls.since.col < cls.until.col)


class Episodes(dy.Schema):
    """One stretch in which a delivery seeks a driver, with its escalation level."""

    id = _id()
    delivery_id = _ref("deliveries")
    episode = _count(least=1)
    state = _one_of(EPISODE.states)
    opened_at = _at()
    closed_at = _at(nullable=True)
    level = dy.Int64(min=0, max=4)
    level_due_at = _at(
        nullable=True
    )  # when the level should have been reached; `level_at`: when a sweep said so
    level_at = _at(nullable=True)
    acked_at = _at(nullable=True)  # a person has seen it; notes silence reminders, not the clock
    snoozed_until = _at(nullable=True)
    reminders = _count()
    reminded_at = _at(nullable=True)
    cause = _word(nullable=True)  # why nobody carries it, as last seen
    version = _count(least=1)


class Tickets(dy.Schema):
    """What a person has to look at: an episode that reached a level, or goods in two hands."""

    id = _id()
    delivery_id = _ref("deliveries")
    episode = _count(least=1)
    level = dy.Int64(min=2, max=4)
    cause = _word()
    state = _one_of(TICKET.states)
    opened_at = _at()
    due_at = _at()  # when it should have been opened
    closed_at = _at(nullable=True)
    closed_by = _word(nullable=True)
    version = _count(least=1)


class Cases(dy.Schema):
    """One suspicion against an assignment and what became of it."""

    id = _id()
    delivery_id = _ref("deliveries")
    driver_id = _ref("drivers")
    episode = _count(least=1)
    trigger = _word()
    state = _one_of(CASE.states)
    suspected_at = _at()
    grace_until = _at(nullable=True)
    confirmed_at = _at(nullable=True)
    released_at = _at(nullable=True)
    closed_at = _at(nullable=True)
    pickup_distance_m = _count(nullable=True)  # at suspicion: progress is measured against it
    new_driver_id = _ref("drivers", nullable=True)
    actor = _word(nullable=True)
    version = _count(least=1)


class Quotes(dy.Schema):
    """A predicted delivery time with its interval, tied to the event it was given at."""

    id = _id()
    delivery_id = _ref("deliveries")
    event = _one_of(("placement", "accept", "pickup", "near_door"))
    quoted_at = _at()
    eta_at = _at()
    low_at = _at(nullable=True)
    high_at = _at(nullable=True)
    model = _word()


COST_KINDS = (
    "piece_pay distance_pay wait_pay stack_pay boost_pay zone_incentive guarantee_topup idle_topup cancel_pay "
    "reassign_pay payment_fee support_cost map_cost"
).split()
REVENUE_SIDES = {
    "revenue": "delivery_fee service_fee small_order_fee merchant_commission price_uplift".split(),
    "contra": "refund credit promotion".split(),
    "pass_through": "tip tax goods".split(),
}


class Costs(dy.Schema):
    """Ledger lines of what a delivery (or an idle driver-hour) cost; a correction is an opposite line."""

    id = _id()
    delivery_id = _ref("deliveries", nullable=True)
    driver_id = _ref("drivers", nullable=True)
    zone_id = _ref("delivery_zones", nullable=True)
    at = _at()
    kind = _one_of(COST_KINDS)
    direction = dy.Int64(is_in=[1, -1])
    amount_cents = _cents()
    rule = _word()
    corrects = dy.Int64(nullable=True, min=1)


class Revenue(dy.Schema):
    """Ledger lines of what a delivery earned, gave back, or merely passed through."""

    id = _id()
    delivery_id = _ref("deliveries")
    at = _at()
    side = _one_of(REVENUE_SIDES)
    kind = _one_of([kind for kinds in REVENUE_SIDES.values() for kind in kinds])
    direction = dy.Int64(is_in=[1, -1])
    amount_cents = _cents()
    rule = _word()
    corrects = dy.Int64(nullable=True, min=1)


class ZonePreferences(dy.Schema):
    """Where a driver would rather work; a cost in balancing, never a wall."""

    id = _id()
    driver_id = _ref("drivers")
    zone_id = _ref("delivery_zones")
    weight_percent = dy.Int64(min=0, max=100)


class ZoneHealth(dy.Schema):
    """Health of a zone in one 15-minute bucket."""

    id = _id()
    zone_id = _ref("delivery_zones")
    bucket_at = _at()
    orders = _count()
    never_served = _count()
    required_s = _count()
    available_s = _count()
    score = dy.Float64(nullable=True, min=0, max=100)
    band = _one_of(("UNKNOWN", "HEALTHY", "STRAINED", "CRITICAL"))


class Performance(dy.Schema):
    """A driver's score over a window; everyone with an available minute has a row."""

    id = _id()
    driver_id = _ref("drivers")
    day = dy.Date()
    offers = _count()
    accepted = _count()
    delivered = _count()
    score = dy.Float64(nullable=True, min=0, max=100)
    tag = _word(nullable=True)


class Routes(dy.Schema):
    """The current multi-stop plan of a driver; its id is the driver's."""

    id = _id()
    driver_id = _ref("drivers")
    state = _one_of(ROUTE.states)
    planned_at = _at()
    stops = dy.String()  # canonical JSON: [{"delivery", "kind", "eta", "leave"}, ...]
    distance_m = _count()
    duration_s = _count()
    engine = _word()
    inputs_sha256 = dy.String(regex="^[0-9a-f]{64}$")
    version = _count(least=1)


class Prices(dy.Schema):
    """Price multiplier of a zone from an instant on, in percent of the normal fee."""

    id = _id()
    zone_id = _ref("delivery_zones")
    since = _at()
    multiplier_percent = dy.Int64(min=50, max=300)
    reason = _word(nullable=True)


TABLES: dict[str, type[dy.Schema]] = {  # parents before children
    "delivery_zones": Zones,
    "merchants": Merchants,
    "customers": Customers,
    "drivers": Drivers,
    "orders": Orders,
    "deliveries": Deliveries,
    "driver_locations": Locations,
    "driver_offers": Offers,
    "driver_availability_history": Duties,
    "unassigned_orders": Episodes,
    "reassignment_cases": Cases,
    "support_tickets": Tickets,
    "delivery_costs": Costs,
    "delivery_revenue": Revenue,
    "driver_zone_preferences": ZonePreferences,
    "zone_health_metrics": ZoneHealth,
    "eta_quotes": Quotes,
    "driver_performance_metrics": Performance,
    "route_optimization_data": Routes,
    "pricing_rules": Prices,
}

ENTITIES: dict[str, str] = {  # what a Change names -> the audited, versioned table it lives in
    "delivery": "deliveries",
    "offer": "driver_offers",
    "driver": "drivers",
    "duty": "driver_availability_history",
    "episode": "unassigned_orders",
    "case": "reassignment_cases",
    "ticket": "support_tickets",
    "route": "route_optimization_data",
}
LOCK_ORDER = ("delivery", "offer", "driver", "duty", "episode", "case", "ticket", "route")


def refs(schema: type[dy.Schema]) -> dict[str, str]:
    """Return column -> referenced table of a contract."""
    found = {name: (column.metadata or {}).get("ref") for name, column in schema.columns().items()}
    return {name: table for name, table in found.items() if table}

"""The rows of every table, each said once: one frozen class a table, in the order of its columns.

Contracts, exports, imports and the database's columns follow from these classes (`contract.py`).
Times are UTC with microseconds, money whole cents, distances metres, durations seconds. A field with
a default may be left out when a row is inserted; the database has the same default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, ClassVar

import polars as pl

from dispatchkit.domain.contract import Column
from dispatchkit.domain.states import (
    CaseState,
    CaseTrigger,
    DeliveryState,
    DutyState,
    EpisodeState,
    OfferMode,
    OfferState,
    RouteState,
    TicketState,
)
from dispatchkit.kernel.clock import EARLIEST, LATEST
from dispatchkit.kernel.documented_enum import DocumentedEnum


class Vehicle(DocumentedEnum):
    """What a driver moves with."""

    BICYCLE = "bicycle", "a bicycle, or an e-bike that rides like one"
    CAR = "car", "a car"
    WALKER = "walker", "on foot"
    SCOOTER = "scooter", "a moped or motor scooter: no motorways"
    MOTORCYCLE = "motorcycle", "a motorcycle"
    VAN = "van", "a van"
    OTHER = "other", "anything else; travels as a car"


class Party(DocumentedEnum):
    """Who did something, or answers for it."""

    CUSTOMER = "customer", "the person who ordered"
    MERCHANT = "merchant", "the shop or restaurant"
    OPS = "ops", "a person of operations"
    DRIVER = "driver", "the driver"
    SYSTEM = "system", "a rule of the program"


class QuoteEvent(DocumentedEnum):
    """When an arrival time was quoted."""

    PLACEMENT = "placement", "when the order was placed"
    ACCEPT = "accept", "when a driver accepted"
    PICKUP = "pickup", "when the goods were picked up"
    NEAR_DOOR = "near_door", "shortly before the door"


class ZoneBand(DocumentedEnum):
    """How well a zone was served in one quarter hour."""

    UNKNOWN = "UNKNOWN", "too little to judge by"
    HEALTHY = "HEALTHY", "enough driver time for the demand"
    STRAINED = "STRAINED", "short of driver time"
    CRITICAL = "CRITICAL", "far too little driver time"


COST_KINDS = (
    "piece_pay distance_pay wait_pay stack_pay boost_pay zone_incentive guarantee_topup "
    "idle_topup cancel_pay reassign_pay payment_fee support_cost map_cost"
).split()
REVENUE_SIDES = {
    "revenue": "delivery_fee service_fee small_order_fee merchant_commission price_uplift".split(),
    "contra": "refund credit promotion".split(),
    "pass_through": "tip tax goods".split(),
}
_REVENUE_KINDS = tuple(kind for kinds in REVENUE_SIDES.values() for kind in kinds)
_SIGN = Column(allowed=(1, -1))

Id = Annotated[int, Column(primary_key=True, min=1)]
Instant = Annotated[datetime, Column(min=EARLIEST, below=LATEST)]
Cents = Annotated[int, Column(min=0, unit="cents")]
Count = Annotated[int, Column(min=0)]
Ordinal = Annotated[int, Column(min=1)]  # counts from one: episode, attempt, version
Lat = Annotated[float, Column(min=-90, max=90, unit="lat", position=True)]
Lon = Annotated[float, Column(min=-180, max=180, unit="lon", position=True)]
Word = Annotated[str, Column(min_length=1, max_length=64)]
Sha256 = Annotated[str, Column(pattern="^[0-9a-f]{64}$")]
Score = Annotated[float, Column(min=0, max=100)]
Slot = Annotated[int, Column(min=1, max=3)]  # of the deliveries that a driver has in hand
Sign = Annotated[int, _SIGN]  # 1: a line of the ledger; -1: the line that takes one back

ZoneId = Annotated[int, Column(min=1, references="delivery_zones")]
MerchantId = Annotated[int, Column(min=1, references="merchants")]
CustomerId = Annotated[int, Column(min=1, references="customers")]
DriverId = Annotated[int, Column(min=1, references="drivers")]
OrderId = Annotated[int, Column(min=1, references="orders")]
DeliveryId = Annotated[int, Column(min=1, references="deliveries")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A delivery zone: a closed ring. Zones neither overlap nor leave holes."""

    id: Id
    name: Word
    ring: Annotated[str, Column(unit="geojson ring")]  # [[lon, lat], ...], closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """Where goods are picked up. Not every source says where its merchants are."""

    id: Id
    label: Annotated[str, Column(min_length=1, max_length=200)]
    zone_id: ZoneId | None
    lat: Lat | None
    lon: Lon | None
    prep_s: Count | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who ordered: an id and nothing that names a person."""

    id: Id
    since: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Who carries. Duty is stored; whether they are busy or free is derived."""

    id: Id
    vehicle: Vehicle
    duty: DutyState
    duty_since: Instant | None
    break_until: Instant | None
    shift_end: Instant | None
    max_stack: Slot = 2
    zone_id: ZoneId | None
    timeouts: Count = 0  # unanswered offers in a row
    cooldown_until: Instant | None
    version: Ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the customer bought."""

    id: Id
    customer_id: CustomerId
    merchant_id: MerchantId
    zone_id: ZoneId | None
    placed_at: Instant
    ready_at: Instant | None
    promised_at: Instant | None
    items: Count
    goods_cents: Cents
    fee_cents: Cents
    dropoff_lat: Lat | None
    dropoff_lon: Lon | None
    source: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The job of carrying an order; a second try is a new delivery with `replaces`."""

    id: Id
    order_id: OrderId
    replaces: DeliveryId | None = None
    state: DeliveryState
    episode: Ordinal = 1  # searches for a driver so far
    attempt: Count = 0  # rounds of offers in this search
    priority: Count = 0
    driver_id: DriverId | None = None
    driver_unknown: bool = False  # ended with a driver whom the source does not name
    slot: Slot | None = None
    created_at: Instant
    dispatch_at: Instant  # when the search for a driver begins
    assigned_at: Instant | None = None
    started_at: Instant | None = None
    arrived_pickup_at: Instant | None = None
    picked_up_at: Instant | None = None
    arrived_dropoff_at: Instant | None = None
    ended_at: Instant | None = None
    ended_by: Party | None = None
    ended_while: Word | None = None  # the state in which it was cancelled or given up
    liable: Party | None = None  # who answers for a cancelled, failed or returned delivery
    lock_until: Instant | None = None  # a person's assignment: no sweep undoes it before this
    version: Ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """One position of a driver at an instant."""

    id: Id
    driver_id: DriverId
    at: Instant
    lat: Lat
    lon: Lon


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One delivery proposed to one driver, with terms that do not change and a deadline."""

    id: Id
    delivery_id: DeliveryId
    driver_id: DriverId
    episode: Ordinal
    attempt: Ordinal
    ask: Ordinal
    state: OfferState = OfferState.PENDING
    cause: Word | None = None
    mode: OfferMode
    pay_cents: Cents  # what the driver would earn, the boost included
    boost_cents: Cents = 0
    distance_m: Count
    payload: Annotated[str, Column(max_length=4000)]  # canonical JSON
    payload_sha256: Sha256
    sent_at: Instant
    expires_at: Instant
    hard_deadline: Instant
    delivered_at: Instant | None = None
    viewed_at: Instant | None = None
    responded_at: Instant | None = None
    late: bool = False
    version: Ordinal

    rules: ClassVar[Mapping[str, pl.Expr]] = {
        "sent_before_expiry": (pl.col("sent_at") < pl.col("expires_at"))
        & (pl.col("expires_at") <= pl.col("hard_deadline")),
        "answered_iff_ended": (pl.col("state") == "PENDING") == pl.col("responded_at").is_null(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyInterval:
    """One interval of a driver's duty, half-open; `until` is empty while it lasts."""

    id: Id
    driver_id: DriverId
    duty: DutyState
    since: Instant
    until: Instant | None
    reason: Word | None
    shift_end: Instant | None  # the planned end of the shift when the interval began
    version: Ordinal

    rules: ClassVar[Mapping[str, pl.Expr]] = {
        "interval_not_empty": pl.col("until").is_null() | (pl.col("since") < pl.col("until"))
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One stretch in which a delivery seeks a driver, with its escalation level."""

    id: Id
    delivery_id: DeliveryId
    episode: Ordinal
    state: EpisodeState
    opened_at: Instant
    closed_at: Instant | None = None
    level: Annotated[int, Column(min=0, max=4)] = 0
    level_due_at: Instant | None = None  # when the level should have been reached
    level_at: Instant | None = None  # when a sweep wrote it
    acked_at: Instant | None = None  # a person has seen it: no reminders, the clock goes on
    snoozed_until: Instant | None = None
    reminders: Count = 0
    reminded_at: Instant | None = None
    cause: Word | None = None  # why nobody carries it, as last seen
    version: Ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One suspicion against an assignment and what became of it."""

    id: Id
    delivery_id: DeliveryId
    driver_id: DriverId
    episode: Ordinal
    trigger: CaseTrigger
    state: CaseState
    suspected_at: Instant
    grace_until: Instant | None = None
    confirmed_at: Instant | None = None
    released_at: Instant | None = None
    closed_at: Instant | None = None
    pickup_distance_m: Count | None = None  # at suspicion: progress is measured against it
    new_driver_id: DriverId | None = None
    actor: Word | None = None
    version: Ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a person has to look at: an episode that reached a level, or goods claimed twice."""

    id: Id
    delivery_id: DeliveryId
    episode: Ordinal
    level: Annotated[int, Column(min=2, max=4)]
    cause: Word
    state: TicketState
    opened_at: Instant
    due_at: Instant  # when it should have been opened
    closed_at: Instant | None = None
    closed_by: Word | None = None
    version: Ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A line of what a delivery (or an idle driver-hour) cost; a correction is an opposite line."""

    id: Id
    delivery_id: DeliveryId | None
    driver_id: DriverId | None
    zone_id: ZoneId | None
    at: Instant
    kind: Annotated[str, Column(words=tuple(sorted(COST_KINDS)))]
    direction: Sign
    amount_cents: Cents
    rule: Word
    corrects: Ordinal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueLine:
    """A line of what a delivery earned, gave back, or merely passed through."""

    id: Id
    delivery_id: DeliveryId
    at: Instant
    side: Annotated[str, Column(words=tuple(sorted(REVENUE_SIDES)))]
    kind: Annotated[str, Column(words=tuple(sorted(_REVENUE_KINDS)))]
    direction: Sign
    amount_cents: Cents
    rule: Word
    corrects: Ordinal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonePreference:
    """Where a driver would rather work; a cost in balancing, never a prohibition."""

    id: Id
    driver_id: DriverId
    zone_id: ZoneId
    weight_percent: Annotated[int, Column(min=0, max=100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneHealth:
    """The health of a zone in one quarter hour."""

    id: Id
    zone_id: ZoneId
    bucket_at: Instant
    orders: Count
    never_served: Count
    required_s: Count
    available_s: Count
    score: Score | None
    band: ZoneBand


@dataclass(frozen=True, slots=True, kw_only=True)
class EtaQuote:
    """A predicted delivery time with its interval, and the event at which it was given."""

    id: Id
    delivery_id: DeliveryId
    event: QuoteEvent
    quoted_at: Instant
    eta_at: Instant
    low_at: Instant | None
    high_at: Instant | None
    model: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverPerformance:
    """A driver's score over a window; everyone with an available minute has a row."""

    id: Id
    driver_id: DriverId
    day: date
    offers: Count
    accepted: Count
    delivered: Count
    score: Score | None
    tag: Word | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The current multi-stop plan of a driver; its id is the driver's."""

    id: Id
    driver_id: DriverId
    state: RouteState
    planned_at: Instant
    stops: str  # canonical JSON: [{"delivery", "kind", "eta", "leave"}, ...]
    distance_m: Count
    duration_s: Count
    engine: Word
    inputs_sha256: Sha256
    version: Ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price multiplier of a zone from an instant on, in percent of the normal fee."""

    id: Id
    zone_id: ZoneId
    since: Instant
    multiplier_percent: Annotated[int, Column(min=50, max=300)]
    reason: Word | None

"""What reads.sql brings, each query with its contract: `READS` for the sweep, `PREVIEW` for a person's act."""

from __future__ import annotations

import polars as pl

from dispatchkit.domain.contract import Column, Contract
from dispatchkit.domain.dispatching import DriverRead, HeldRead, PingRead
from dispatchkit.domain.tables import TABLES

# assigned: deliveries with a driver, not yet picked up.
JobRead = (
    TABLES["deliveries"]
    .only(
        "id state episode attempt priority driver_id slot assigned_at started_at "
        "arrived_pickup_at lock_until version",
        driver_id=True,
    )
    .with_columns(
        ready_at=TABLES["orders"].fields["ready_at"],
        pickup_lat=TABLES["merchants"].fields["lat"],
        pickup_lon=TABLES["merchants"].fields["lon"],
        dropoff_lat=TABLES["orders"].fields["dropoff_lat"],
        dropoff_lon=TABLES["orders"].fields["dropoff_lon"],
        outside=Column(dtype=pl.Boolean()),
    )
)


# sought, assigned: what a preview needs of a delivery.
PlaceRead = (
    TABLES["deliveries"]
    .only("id state driver_id")
    .with_columns(
        ready_at=TABLES["orders"].fields["ready_at"],
        promised_at=TABLES["orders"].fields["promised_at"],
        pickup_lat=TABLES["driver_locations"].fields["lat"],
        pickup_lon=TABLES["driver_locations"].fields["lon"],
        dropoff_lat=TABLES["orders"].fields["dropoff_lat"],
        dropoff_lon=TABLES["orders"].fields["dropoff_lon"],
    )
)


# followed: deliveries with an open case.
FollowedRead = (
    TABLES["deliveries"]
    .only("id state episode driver_id")
    .with_columns(
        ready_at=TABLES["orders"].fields["ready_at"],
        pickup_lat=TABLES["merchants"].fields["lat"],
        pickup_lon=TABLES["merchants"].fields["lon"],
        restored=Column(dtype=pl.Boolean()),
        outside=Column(dtype=pl.Boolean()),
    )
)


# cases: the open ones.
CaseRead = TABLES["reassignment_cases"].only(
    "id delivery_id driver_id episode trigger state suspected_at grace_until "
    "confirmed_at released_at closed_at new_driver_id version"
)


# history: every case so far of a delivery that seeks or awaits a driver at the pickup.
HistoryRead = TABLES["reassignment_cases"].only("id delivery_id driver_id released_at")


# refusals: who said no to a delivery that seeks or awaits a driver at the pickup, or let the offer run out.
RefusalRead = TABLES["driver_offers"].only("id delivery_id driver_id")


# finished: deliveries that ended a short while ago.
FinishedRead = (
    TABLES["deliveries"]
    .only("id driver_id", driver_id=True)
    .with_columns(ended_at=Column(dtype=pl.Datetime("us", "UTC")))
)


# pending: offers that wait for an answer.
PendingRead = TABLES["driver_offers"].only("id driver_id")


# agreed: the accepted offers behind the assignments.
AgreedRead = TABLES["driver_offers"].only("id delivery_id driver_id episode payload")


PREVIEW: dict[str, Contract] = {
    "assigned": PlaceRead,
    "sought": PlaceRead,
    "history": HistoryRead,
    "drivers": DriverRead,
    "carriers": DriverRead,
    "pings": PingRead,
    "held": HeldRead,
    "pending": PendingRead,
}
READS: dict[str, Contract] = {
    "assigned": JobRead,
    "followed": FollowedRead,
    "cases": CaseRead,
    "history": HistoryRead,
    "refusals": RefusalRead,
    "drivers": DriverRead,
    "carriers": DriverRead,
    "pings": PingRead,
    "trail": PingRead,
    "held": HeldRead,
    "finished": FinishedRead,
    "pending": PendingRead,
    "agreed": AgreedRead,
}

"""Every table and its row class, and for rows that change: their entity, states and locks.

One registration per row kind: what a change names, which state machine it follows, in which order
rows are locked, and which columns never change. Whatever needs one of these lists reads it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispatchkit.domain import rows, states
from dispatchkit.domain.contract import Contract, contract_of
from dispatchkit.kernel.machine import Machine

ROW_CLASSES: Mapping[str, type] = {  # parents before children
    "delivery_zones": rows.Zone,
    "merchants": rows.Merchant,
    "customers": rows.Customer,
    "drivers": rows.Driver,
    "orders": rows.Order,
    "deliveries": rows.Delivery,
    "driver_locations": rows.Ping,
    "driver_offers": rows.Offer,
    "driver_availability_history": rows.DutyInterval,
    "unassigned_orders": rows.Episode,
    "reassignment_cases": rows.Case,
    "support_tickets": rows.Ticket,
    "delivery_costs": rows.Cost,
    "delivery_revenue": rows.RevenueLine,
    "driver_zone_preferences": rows.ZonePreference,
    "zone_health_metrics": rows.ZoneHealth,
    "eta_quotes": rows.EtaQuote,
    "driver_performance_metrics": rows.DriverPerformance,
    "route_optimization_data": rows.Route,
    "pricing_rules": rows.Price,
}
TABLES: Mapping[str, Contract] = {table: contract_of(row) for table, row in ROW_CLASSES.items()}


@dataclass(frozen=True)
class RowKind:
    """A kind of row that live work changes: versioned, audited, written by changes only."""

    entity: str  # what a change calls it
    table: str
    machine: Machine | None
    state_column: str
    frozen: tuple[str, ...]  # columns that keep their first value

    @property
    def row_class(self) -> type:
        """Return the row class of the table."""
        return ROW_CLASSES[self.table]


def _kind(
    entity: str, table: str, machine: Machine | None, frozen: str, state_column: str = "state"
) -> RowKind:
    return RowKind(entity, table, machine, state_column, ("id", *frozen.split()))


# In the order in which rows are locked: everybody locks in this order, so nobody waits in a circle.
ROW_KINDS: Mapping[str, RowKind] = {
    kind.entity: kind
    for kind in (
        _kind("delivery", "deliveries", states.DELIVERY, "order_id created_at"),
        _kind(
            "offer",
            "driver_offers",
            states.OFFER,
            "delivery_id driver_id episode attempt ask mode pay_cents boost_cents distance_m "
            "payload payload_sha256 sent_at expires_at hard_deadline",
        ),
        _kind("driver", "drivers", states.DUTY, "", "duty"),
        _kind("duty", "driver_availability_history", None, "driver_id duty since shift_end"),
        _kind("episode", "unassigned_orders", states.EPISODE, "delivery_id episode opened_at"),
        _kind(
            "case",
            "reassignment_cases",
            states.CASE,
            "delivery_id driver_id episode trigger suspected_at",
        ),
        _kind(
            "ticket",
            "support_tickets",
            states.TICKET,
            "delivery_id episode level cause opened_at due_at",
        ),
        _kind("route", "route_optimization_data", states.ROUTE, "driver_id"),
    )
}
ENTITIES: Mapping[str, str] = {kind.entity: kind.table for kind in ROW_KINDS.values()}
LOCK_ORDER = tuple(ROW_KINDS)
MACHINES = tuple(kind.machine for kind in ROW_KINDS.values() if kind.machine)
FROZEN: Mapping[str, tuple[str, ...]] = {kind.table: kind.frozen for kind in ROW_KINDS.values()}
FACTS = (  # append-only tables that a Fact may name: no version, no audit; each row has its run's id
    "eta_quotes",
    "zone_health_metrics",
    "driver_performance_metrics",
    "pricing_rules",
)

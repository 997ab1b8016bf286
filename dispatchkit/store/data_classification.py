"""The class of data in each column; retention, erasure and exports to outsiders depend on it.

Most classes follow from the contract: a key is an id, an instant a time, a closed vocabulary a
word. Columns of free text are classified here by hand; a test fails for a column without a class.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from dispatchkit.domain.contract import Column
from dispatchkit.domain.tables import TABLES

PERSONAL = frozenset({"person", "position"})  # who somebody is, or where somebody was
CLASSES = PERSONAL | {"id", "time", "money", "number", "word", "digest", "document", "business"}
# word: from a vocabulary of the program. document: JSON made by the program, without personal data
# (invariant I16 checks it). business: the name or position of a merchant or a zone.
TEXTS: Mapping[str, str] = {
    "delivery_zones.name": "business",
    "delivery_zones.ring": "business",
    "merchants.label": "business",
    "merchants.lat": "business",
    "merchants.lon": "business",
    "orders.source": "word",
    "deliveries.ended_while": "word",
    "driver_offers.cause": "word",
    "driver_offers.payload": "document",
    "driver_offers.payload_sha256": "digest",
    "driver_availability_history.reason": "word",
    "unassigned_orders.cause": "word",
    "reassignment_cases.actor": "id",
    "support_tickets.cause": "word",
    "support_tickets.closed_by": "id",
    "delivery_costs.rule": "word",
    "delivery_revenue.rule": "word",
    "eta_quotes.model": "word",
    "driver_performance_metrics.tag": "word",
    "pricing_rules.reason": "word",
    "route_optimization_data.stops": "document",
    "route_optimization_data.engine": "word",
    "route_optimization_data.inputs_sha256": "digest",
    "zone_health_metrics.score": "number",
    "driver_performance_metrics.score": "number",
}
LEDGERS: Mapping[str, Mapping[str, str]] = {  # what decisions leave behind, outside the contracts
    "decisions": {
        **dict.fromkeys(("decision_id", "run_id", "row_id", "row_version"), "id"),
        **dict.fromkeys(("entity", "event", "reason", "outcome", "sqlstate"), "word"),
        "why": "document",
        "at": "time",
    },
    "outbox": {
        **dict.fromkeys(("id", "root_id", "row_id", "decision_id", "txid"), "id"),
        **dict.fromkeys(("event", "root"), "word"),
        "payload": "document",
        **dict.fromkeys(("at", "sent_at"), "time"),
    },
}


def class_of(table: str, column: str) -> str | None:
    """Return the class of a column, None if it is neither listed nor derived."""
    if table in LEDGERS:
        return LEDGERS[table].get(column)
    spec = TABLES[table].columns().get(column)
    return None if spec is None else TEXTS.get(f"{table}.{column}") or _derived_class(spec)


def _derived_class(column: Column) -> str | None:
    """Return the class that follows from a contract's column, None for free text."""
    if column.position:
        return "position"
    if column.primary_key or column.references:
        return "id"
    if column.unit == "cents":
        return "money"
    if isinstance(column.dtype, pl.Datetime | pl.Date):
        return "time"
    if column.words or column.dtype == pl.Boolean():
        return "word"
    return "number" if column.dtype == pl.Int64() else None

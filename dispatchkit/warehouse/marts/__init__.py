"""The marts: tables that measures read.

Each is made by the SQL file of its name, which describes its columns.
"""

# A mart reads the tables of the export and earlier marts only.
ORDER = (
    "engaged",
    "deliveries",
    "offers",
    "episodes",
    "cases",
    "tickets",
    "shifts",
    "presence",
    "availability",
    "zone_hours",
    "eta_quotes",
    "costs",
    "revenue",
)

TIME = {  # the time by which the rows of a mart belong to a period
    "mart_deliveries": "placed_at",
    "mart_offers": "sent_at",
    "mart_episodes": "opened_at",
    "mart_cases": "suspected_at",
    "mart_tickets": "opened_at",
    "mart_shifts": "since",
    "mart_availability": "since",
    "mart_zone_hours": "bucket_at",
    "mart_eta_quotes": "quoted_at",
    "mart_costs": "counted_at",
    "mart_revenue": "counted_at",
}

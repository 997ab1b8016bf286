"""The marts: tables that measures read, each made by the one SQL file of its name, in this order."""

ORDER = (
    "engaged",
    "deliveries",
    "offers",
    "episodes",
    "cases",
    "shifts",
    "zone_hours",
    "eta_quotes",
    "costs",
    "revenue",
)

"""Exported tables: written as Parquet with a manifest, checked, and loaded into DuckDB for looking back."""

WAREHOUSE_FILE = "warehouse.duckdb"  # under --data unless another is named
QUARANTINE_FILE = "quarantine.csv"

"""Exported tables: written as Parquet with a manifest, checked, and loaded into DuckDB for reports.

Write: `export` with `manifest` and `table_facts`.
Load: `load` over `build`, which opens `export_files`, checks rows (`row_checks`) and `relations`, then makes `marts`;
`database` reads the result.
Import: `imports` for an export, `foreign` for files of other systems (`strict_csv`, `typed_values`).
All of them list bad rows in the same `quarantine`.
"""

WAREHOUSE_FILE = "warehouse.duckdb"  # under --data unless another is named
QUARANTINE_FILE = "quarantine.csv"

"""Exported tables: written as Parquet with a manifest, checked, and loaded into DuckDB for reports.

- Write: `export` with `manifest` and `table_facts`.
- Load: `load` calls `build`, which reads `export_files` and checks rows (`row_checks`) and
  `relations`; then it makes the `marts`. `database` reads the result.
- Import: `imports` reads an export, `foreign` files of other systems (over `strict_csv` and
  `typed_values`).

All of them list bad rows in the same `quarantine`.
"""

WAREHOUSE_FILE = "warehouse.duckdb"  # under --data unless another is named
QUARANTINE_FILE = "quarantine.csv"

"""Exported tables: written as Parquet with a manifest, checked, and loaded into DuckDB for looking back."""

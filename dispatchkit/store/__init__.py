"""Postgres, and the same contract in memory: the only room that speaks SQLAlchemy, Alembic, psycopg and ADBC."""

"""Loads into PostgreSQL by COPY, in one transaction with dlt's own entries (ADR 0013)."""

"""Datanika: multi-tenant data pipelines on Prefect, dlt and dbt."""

__version__ = "0.1.0"

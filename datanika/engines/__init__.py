"""Engines: they know a resolved step and its credentials, nothing of tenants or Prefect."""

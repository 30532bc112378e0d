"""Connectors: one file per kind of connection."""

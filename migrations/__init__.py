"""Migrations of the control plane's database. ``alembic upgrade head`` runs them as its owner."""

"""When a connection was tested last, and what came of it.

Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connections", sa.Column("tested_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("connections", sa.Column("test_code", sa.String(length=100), nullable=True))


def downgrade() -> None:
    op.drop_column("connections", "test_code")
    op.drop_column("connections", "tested_at")

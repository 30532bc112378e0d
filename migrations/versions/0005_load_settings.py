"""A key of each organisation for hashed columns, and what each loaded table's source looked like.

Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("organizations", sa.Column("hash_key", sa.Text(), nullable=True))
    op.add_column(
        "catalog_entries",
        sa.Column("source_columns", JSONB(), server_default="[]", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("catalog_entries", "source_columns")
    op.drop_column("organizations", "hash_key")

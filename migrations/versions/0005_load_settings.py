"""A key of each organisation for hashed columns, what each loaded table's source looked like, and
uploaded files.

Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.helpers import enable_tenant_rls

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

    now, zoned = sa.text("now()"), sa.DateTime(timezone=True)
    op.create_table(
        "uploaded_files",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", zoned, server_default=now, nullable=False),
        sa.Column("updated_at", zoned, server_default=now, nullable=False),
        sa.Column("deleted_at", zoned, nullable=True),
        sa.Column("org_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id"],
            ["organizations.id"],
            name="fk_uploaded_files_org_id_organizations",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["users.id"],
            name="fk_uploaded_files_created_by_users",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_uploaded_files"),
        sa.UniqueConstraint("org_id", "name", name="uq_uploaded_files_org_id_name"),
    )
    op.create_index("ix_uploaded_files_org_id", "uploaded_files", ["org_id"])
    enable_tenant_rls("uploaded_files")


def downgrade() -> None:
    op.drop_table("uploaded_files")
    op.drop_column("catalog_entries", "source_columns")
    op.drop_column("organizations", "hash_key")

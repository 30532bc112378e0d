"""Where the columns of catalog entries come from.

Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.helpers import enable_tenant_rls

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "catalog_entries", sa.Column("lineage", JSONB(), server_default="{}", nullable=False)
    )
    op.create_unique_constraint("uq_catalog_entries_org_id_id", "catalog_entries", ["org_id", "id"])
    op.create_table(
        "lineage_edges",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("to_column", sa.String(length=255), nullable=True),
        sa.Column("from_connection_id", sa.BigInteger(), nullable=False),
        sa.Column("from_schema", sa.String(length=255), nullable=False),
        sa.Column("from_name", sa.String(length=1000), nullable=False),
        sa.Column("from_column", sa.String(length=255), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("org_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "entry_id"],
            ["catalog_entries.org_id", "catalog_entries.id"],
            name="fk_lineage_edges_org_id_entry_id_catalog_entries",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "from_connection_id"],
            ["connections.org_id", "connections.id"],
            name="fk_lineage_edges_org_id_from_connection_id_connections",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["org_id"],
            ["organizations.id"],
            name="fk_lineage_edges_org_id_organizations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_lineage_edges"),
    )
    op.create_index("ix_lineage_edges_org_id", "lineage_edges", ["org_id"])
    op.create_index("ix_lineage_edges_entry", "lineage_edges", ["org_id", "entry_id"])
    op.create_index(
        "ix_lineage_edges_from",
        "lineage_edges",
        ["org_id", "from_connection_id", "from_schema", "from_name"],
    )
    enable_tenant_rls("lineage_edges")


def downgrade() -> None:
    op.drop_table("lineage_edges")
    op.drop_constraint("uq_catalog_entries_org_id_id", "catalog_entries", type_="unique")
    op.drop_column("catalog_entries", "lineage")

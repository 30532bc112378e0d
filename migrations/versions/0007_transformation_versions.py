"""Every version of a transformation, and what dbt says of a catalog entry: its documentation, its
tests, its freshness.

Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.helpers import enable_tenant_rls

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_FORCED = ("transformations", "transformation_versions")


def upgrade() -> None:
    op.create_unique_constraint("uq_transformations_org_id_id", "transformations", ["org_id", "id"])
    now, zoned = sa.text("now()"), sa.DateTime(timezone=True)
    op.create_table(
        "transformation_versions",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("transformation_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("spec", JSONB(), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", zoned, server_default=now, nullable=False),
        sa.Column("updated_at", zoned, server_default=now, nullable=False),
        sa.Column("deleted_at", zoned, nullable=True),
        sa.Column("org_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["users.id"],
            name="fk_transformation_versions_created_by_users",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["org_id"],
            ["organizations.id"],
            name="fk_transformation_versions_org_id_organizations",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "transformation_id"],
            ["transformations.org_id", "transformations.id"],
            name="fk_transformation_versions_transformation",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_transformation_versions"),
        sa.UniqueConstraint(
            "transformation_id",
            "number",
            name="uq_transformation_versions_transformation_id_number",
        ),
    )
    op.create_index("ix_transformation_versions_org_id", "transformation_versions", ["org_id"])
    enable_tenant_rls("transformation_versions", app="SELECT, INSERT", system="SELECT, INSERT")
    keep_first_versions()
    op.execute(
        """
        CREATE TRIGGER immutable BEFORE UPDATE ON transformation_versions FOR EACH ROW
        WHEN ((OLD.id, OLD.org_id, OLD.transformation_id, OLD.number, OLD.spec)
              IS DISTINCT FROM
              (NEW.id, NEW.org_id, NEW.transformation_id, NEW.number, NEW.spec))
        EXECUTE FUNCTION refuse_version_change()
        """
    )
    for name in ("docs", "checks"):
        op.add_column(
            "catalog_entries", sa.Column(name, JSONB(), server_default="{}", nullable=False)
        )


def keep_first_versions() -> None:
    """What is there now becomes the first version that is kept."""
    # Row-level security is forced on the owner, too, for whom there is no policy.
    for table in _FORCED:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "INSERT INTO transformation_versions (org_id, transformation_id, number, spec, created_at) "
        "SELECT org_id, id, revision, spec, updated_at FROM transformations"
    )
    for table in _FORCED:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_column("catalog_entries", "checks")
    op.drop_column("catalog_entries", "docs")
    op.drop_table("transformation_versions")
    op.drop_constraint("uq_transformations_org_id_id", "transformations", type_="unique")

"""Mails wait in the database until they are sent; people may be logged in to no organisation.

Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.helpers import enable_rls

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now, zoned = sa.text("now()"), sa.DateTime(timezone=True)
    op.create_table(
        "mails",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", zoned, nullable=False),
        sa.Column("expires_at", zoned, nullable=False),
        sa.Column("created_at", zoned, server_default=now, nullable=False),
        sa.Column("updated_at", zoned, server_default=now, nullable=False),
        sa.Column("deleted_at", zoned, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
    )
    op.create_index("ix_mails_next_attempt_at", "mails", ["next_attempt_at"])
    # Nobody's but the platform's own.
    enable_rls("mails", visible="false", app="")
    op.alter_column("refresh_tokens", "org_id", existing_type=sa.BigInteger(), nullable=True)


def downgrade() -> None:
    op.execute("ALTER TABLE refresh_tokens NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM refresh_tokens WHERE org_id IS NULL")
    op.execute("ALTER TABLE refresh_tokens FORCE ROW LEVEL SECURITY")
    op.alter_column("refresh_tokens", "org_id", existing_type=sa.BigInteger(), nullable=False)
    op.drop_table("mails")

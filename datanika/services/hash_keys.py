"""The key that an organisation's hashed columns are hashed with.

It is random and the organisation's own for good: one that was derived from the platform's keys
would change when those are rotated, and equal values of two loads would no longer be equal. It is
stored as credentials are, and reaches an engine only with a step that hashes a column.
"""

from __future__ import annotations

import secrets

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.models import Organization
from datanika.services.encryption import EncryptionService

KEY_BYTES = 32


async def hash_key(session: AsyncSession, org_id: int) -> str:
    """In hex; made when it is first asked for. ``org_id`` was proven by the run's token."""
    query = select(Organization).where(Organization.id == org_id)
    organization = (await session.scalars(query)).one()
    if organization.hash_key is None:
        # Two runs may ask for the first time at once.
        locked = query.with_for_update().execution_options(populate_existing=True)
        organization = (await session.scalars(locked)).one()
    # An organisation's row is of no organisation but itself, so it is bound by its id.
    service, table = EncryptionService(), "organizations"
    if organization.hash_key is None:
        key = secrets.token_hex(KEY_BYTES)
        organization.hash_key = service.encrypt({"key": key}, org_id=0, table=table, row_id=org_id)
        await session.flush()
        return key
    stored = service.decrypt(organization.hash_key, org_id=0, table=table, row_id=org_id)
    return str(stored["key"])

"""What an organisation may use, and what it uses: the limits, enforced and shown.

A limit that an organisation does not set is the platform's own (``DATANIKA_DEFAULT_MAX_…``); one
that the platform does not set either does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.events import Failure, utcnow
from datanika.errors import LimitReached
from datanika.models import Connection, Organization
from datanika.services.audit_service import SystemActor, record
from datanika.services.usage_counter import month_of, next_month, used_in


@dataclass(frozen=True, slots=True)
class Limits:
    """None: as much as there is."""

    max_concurrent_runs: int | None
    max_connections: int | None
    max_rows_per_month: int | None
    max_storage_bytes: int | None


LIMITS = tuple(field.name for field in fields(Limits))


def default_limits() -> Limits:
    """The platform's own limits."""
    return Limits(**{name: getattr(settings, f"default_{name}") for name in LIMITS})


def limits_of(organization: Organization) -> Limits:
    """What holds for the organisation: its own limit, else the platform's."""
    defaults = default_limits()
    own = {name: getattr(organization, name) for name in LIMITS}
    return Limits(
        **{name: getattr(defaults, name) if value is None else value for name, value in own.items()}
    )


async def load_limits(session: AsyncSession, org_id: int) -> Limits:
    """The limits that hold for ``org_id`` now."""
    columns = [getattr(Organization, name) for name in LIMITS]
    row = (await session.execute(select(*columns).where(Organization.id == org_id))).one()
    return limits_of(Organization(**row._mapping))


async def set_limits(session: AsyncSession, org_id: int, limits: dict[str, int | None]) -> None:
    """Set limits as the operator, from the command line. ``session`` is in system scope."""
    organization = await session.get_one(Organization, org_id, with_for_update=True)
    old = {name: getattr(organization, name) for name in limits}
    for name, value in limits.items():
        setattr(organization, name, value)
    organization.revision += 1
    await session.flush()
    await record(
        session, SystemActor(org_id, "command line"), "organization.updated", "organization",
        org_id, old=old, new=limits,
    )  # fmt: skip


async def check_connections(session: AsyncSession, org_id: int) -> None:
    """Raise :class:`LimitReached` unless one more connection may be made in this transaction.

    Of transactions that make one in the same organisation, each waits for the one before.
    """
    # Not the organisation's row: an update of a connection locks that last, a creation would
    # first, and the two may wait for each other over a name.
    await session.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(f"connections of {org_id}", 0)))
    )
    limit = (await load_limits(session, org_id)).max_connections
    if limit is None:
        return
    used = await count_connections(session, org_id)
    if used >= limit:
        raise LimitReached(
            f"The organisation has {used} connections, and may have {limit}.",
            hint="Delete one that is no longer needed, or ask the owner for a higher limit.",
            limit="max_connections",
        )


async def count_connections(session: AsyncSession, org_id: int) -> int:
    """How many connections there are."""
    count = await session.scalar(
        select(func.count())
        .select_from(Connection)
        .where(Connection.org_id == org_id, Connection.deleted_at.is_(None))
    )
    return count or 0


async def reason_not_to_run(session: AsyncSession, org_id: int) -> Failure | None:
    """Why no new run may be accepted: the month's rows or the storage are used up."""
    limits = await load_limits(session, org_id)
    month = month_of(utcnow())
    used = await used_in(session, org_id, month)
    if limits.max_rows_per_month is not None and used.rows >= limits.max_rows_per_month:
        return Failure(
            code="limit_reached",
            message=f"This month's runs have loaded {used.rows:,} rows, and may load "
            f"{limits.max_rows_per_month:,}.",
            hint=f"The count starts again at {next_month(month):%Y-%m-%d %H:%M} UTC, or ask the "
            "owner for a higher limit.",
        )
    if limits.max_storage_bytes is not None and used.storage_bytes >= limits.max_storage_bytes:
        return Failure(
            code="limit_reached",
            message=f"The organisation's files take {used.storage_bytes:,} bytes, and may take "
            f"{limits.max_storage_bytes:,}.",
            hint="Delete files or tables, or ask the owner for a higher limit.",
        )
    return None

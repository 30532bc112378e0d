"""Trying a connection: the saved one, or what somebody is about to change in it.

Whoever may try other settings with the secrets that are kept could have those sent elsewhere:
that takes the right to change the connection, and an operator where the secrets are theirs.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.ad_hoc import AdHocAnswer, ProbeResult
from datanika.contracts.catalog import validate_config
from datanika.contracts.events import utcnow
from datanika.contracts.jobs import JobAction
from datanika.contracts.steps import ResolvedConnection
from datanika.errors import PermissionDenied
from datanika.models import Connection, Job
from datanika.services.actor import Actor
from datanika.services.connection_service import (
    load_connection,
    merged_config,
    resolve_unsaved,
)
from datanika.services.job_service import ClaimedJob


def check_trial(actor: Actor, connection: Connection, config: dict[str, Any]) -> None:
    """Raise :class:`PermissionDenied`, or :class:`InvalidInput` for what could not be saved."""
    actor.require("connection:write")
    if connection.operator_managed:
        raise PermissionDenied(
            "The secrets of this connection are the platform's: only what is saved can be tested.",
            code="operator_only",
            field="config",
            hint="Save the change as an operator, then test it.",
        )
    public, secrets = merged_config(connection, config)
    validate_config(connection.kind, public | secrets)


async def resolve_trial(
    session: AsyncSession, org_id: int, connection_id: int, config: dict[str, Any]
) -> ResolvedConnection:
    """``config`` in the place of the saved one, with the secrets that it leaves out."""
    connection = await load_connection(session, org_id, connection_id)
    if connection.operator_managed:
        raise PermissionDenied("An operator took over this connection.", code="operator_only")
    public, secrets = merged_config(connection, config)
    return await resolve_unsaved(org_id, connection.kind, public | secrets)


async def note_test(session: AsyncSession, job: ClaimedJob, answer: AdHocAnswer) -> None:
    """Remember what came of a test of the saved configuration. System scope."""
    result = answer.result
    if (
        job.action is not JobAction.TEST_CONNECTION
        or job.resource_id is None
        or job.request.get("config") is not None
        or not isinstance(result, ProbeResult)
    ):
        return
    row = await session.get(Job, job.id)
    if row is None or row.started_at is None:
        return
    await session.execute(
        update(Connection)
        .where(
            Connection.id == job.resource_id,
            Connection.org_id == job.org_id,
            # One that was changed meanwhile is not what was tested.
            Connection.updated_at <= row.started_at,
        )
        .values(
            tested_at=utcnow(),
            test_code=None if result.ok else (result.code or "failed")[:100],
            updated_at=Connection.updated_at,
        )
    )

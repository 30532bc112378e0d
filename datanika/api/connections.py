"""Connections and the kinds there are."""

from __future__ import annotations

from fastapi import APIRouter, status

from datanika.api.deps import PROBLEMS, Caller, Cursor, Id, Limit, make_page
from datanika.contracts.api import ConnectionIn, ConnectionOut, ConnectionPatch, Page
from datanika.contracts.catalog import ConnectorKind, connector_kinds
from datanika.db import get_session
from datanika.models import Connection
from datanika.services.connection_service import ConnectionService, secret_names

router = APIRouter(tags=["connections"], responses=PROBLEMS)


@router.get("/connection-kinds")
async def list_connection_kinds(actor: Caller) -> Page[ConnectorKind]:
    """What can be connected, each with the JSON schema of its configuration."""
    actor.require("connection:read")
    return Page(items=list(connector_kinds().values()))


@router.get("/connections")
async def list_connections(
    actor: Caller, cursor: Cursor = 0, limit: Limit = 100
) -> Page[ConnectionOut]:
    """The organisation's connections, without their secrets."""
    async with get_session(actor.scope) as session:
        rows = await ConnectionService(session, actor).list(limit=limit + 1, after_id=cursor)
        return make_page(rows, limit, connection_out)


@router.post("/connections", status_code=status.HTTP_201_CREATED)
async def create_connection(body: ConnectionIn, actor: Caller) -> ConnectionOut:
    """A new connection. Its secrets are encrypted and never shown again."""
    async with get_session(actor.scope) as session:
        row = await ConnectionService(session, actor).create(
            body.name, body.kind, body.config, body.description
        )
        return connection_out(row)


@router.get("/connections/{connection_id}")
async def read_connection(connection_id: Id, actor: Caller) -> ConnectionOut:
    """One connection."""
    async with get_session(actor.scope) as session:
        return connection_out(await ConnectionService(session, actor).get(connection_id))


@router.patch("/connections/{connection_id}")
async def update_connection(
    connection_id: Id, body: ConnectionPatch, actor: Caller
) -> ConnectionOut:
    """Change what is given."""
    async with get_session(actor.scope) as session:
        row = await ConnectionService(session, actor).update(
            connection_id,
            name=body.name,
            config=body.config,
            description=body.description,
            revision=body.revision,
        )
        return connection_out(row)


@router.delete("/connections/{connection_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_connection(connection_id: Id, actor: Caller) -> None:
    """Refused while a pipeline or a transformation uses it."""
    async with get_session(actor.scope) as session:
        await ConnectionService(session, actor).delete(connection_id)


def connection_out(row: Connection) -> ConnectionOut:
    """The row for the API: which secrets are set, not what they are."""
    return ConnectionOut(
        id=row.id,
        name=row.name,
        kind=row.kind,
        description=row.description,
        config=row.config,
        secrets=list(secret_names(row)),
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )

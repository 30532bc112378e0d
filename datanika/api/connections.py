"""Connections and the kinds there are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status

from datanika.api.deps import PROBLEMS, Id, IfMatch, Named, Search, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import (
    ConnectionCopyIn,
    ConnectionIn,
    ConnectionOut,
    ConnectionPatch,
    Page,
)
from datanika.contracts.catalog import ConnectorKind, connector_kinds
from datanika.contracts.text import Line
from datanika.models import Connection
from datanika.services.connection_service import (
    SORTS,
    ConnectionService,
    referenced_names,
    secret_names,
)
from datanika.services.paging import PageRequest

router = APIRouter(tags=["connections"], responses=PROBLEMS, route_class=TenantRoute)
Paging = Annotated[PageRequest, paging(SORTS)]


@router.get("/connection-kinds", **needs("connection:read"))
async def list_connection_kinds(tx: Tx) -> Page[ConnectorKind]:
    """What can be connected, each with the JSON schema of its configuration."""
    return Page(items=list(connector_kinds().values()))


@router.get("/connections", **needs("connection:read"))
async def list_connections(
    tx: Tx,
    page: Paging,
    name: Named = None,
    search: Search = None,
    kind: Annotated[Line | None, Query(max_length=64)] = None,
) -> Page[ConnectionOut]:
    """The organisation's connections, without their secrets."""
    rows = await ConnectionService(tx.session, tx.actor).list(
        page, name=name, search=search, kind=kind
    )
    return page_of(rows, connection_out)


@router.post("/connections", status_code=status.HTTP_201_CREATED, **needs("connection:write"))
async def create_connection(body: ConnectionIn, tx: Tx) -> ConnectionOut:
    """A new connection. Its secrets are encrypted and never shown again."""
    row = await ConnectionService(tx.session, tx.actor).create(
        body.name, body.kind, body.config, body.description
    )
    return tx.tagged(connection_out(row))


@router.get("/connections/{connection_id}", **needs("connection:read"))
async def read_connection(connection_id: Id, tx: Tx) -> ConnectionOut:
    """One connection."""
    row = await ConnectionService(tx.session, tx.actor).get(connection_id)
    return tx.tagged(connection_out(row))


@router.patch("/connections/{connection_id}", **needs("connection:write"))
async def update_connection(
    connection_id: Id, body: ConnectionPatch, tx: Tx, revision: IfMatch
) -> ConnectionOut:
    """Change what is given."""
    row = await ConnectionService(tx.session, tx.actor).update(
        connection_id,
        name=body.name,
        config=body.config,
        description=body.description,
        revision=revision,
    )
    return tx.tagged(connection_out(row))


@router.post(
    "/connections/{connection_id}/copy",
    status_code=status.HTTP_201_CREATED,
    **needs("connection:write"),
)
async def copy_connection(connection_id: Id, body: ConnectionCopyIn, tx: Tx) -> ConnectionOut:
    """A new connection with the same configuration and the same secrets."""
    row = await ConnectionService(tx.session, tx.actor).copy(connection_id, body.name)
    return tx.tagged(connection_out(row))


@router.delete(
    "/connections/{connection_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    **needs("connection:delete"),
)
async def delete_connection(connection_id: Id, tx: Tx) -> None:
    """Refused while a pipeline or a transformation uses it."""
    await ConnectionService(tx.session, tx.actor).delete(connection_id)


def connection_out(row: Connection) -> ConnectionOut:
    """The row for the API: which secrets are set, not what they are."""
    return ConnectionOut(
        id=row.id,
        name=row.name,
        kind=row.kind,
        description=row.description,
        config=row.config,
        secrets=list(secret_names(row)),
        secret_references=list(referenced_names(row)),
        revision=row.revision,
        tested_at=row.tested_at,
        test_code=row.test_code,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )

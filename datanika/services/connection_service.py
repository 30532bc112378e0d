"""Typed sources and destinations. What may be read back is in ``config``; secrets are encrypted
beside it, and only :meth:`ConnectionService.resolve` puts the two together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.catalog import connector_kind, validate_config
from datanika.contracts.spec import ConnectionRef
from datanika.contracts.steps import ResolvedConnection
from datanika.errors import Conflict, NotFound, PermissionDenied
from datanika.models import Connection
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.connection_uses import uses_of
from datanika.services.egress_policy import current_policy
from datanika.services.encryption import EncryptionService
from datanika.services.limits import check_connections
from datanika.services.paging import (
    OLDEST,
    PageRequest,
    RowPage,
    contains,
    fetch_page,
    rows_of,
    sorts_of,
)
from datanika.services.secret_references import (
    check_reference,
    is_reference,
    resolve_reference,
)
from datanika.services.slot_releases import give_up, slots_in_the_way
from datanika.services.validation import check_revision, valid_name

TABLE = Connection.__tablename__

SORTS = sorts_of(Connection, "name", "kind", "created_at", "updated_at")


class ConnectionService:
    """An organisation's connections."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def create(
        self, name: str, kind: str, config: dict[str, Any], description: str = ""
    ) -> Connection:
        """``config`` holds the secrets too. Raises :class:`InvalidInput`, :class:`Conflict`."""
        self.actor.require("connection:write")
        public, secrets = split_secrets(kind, config)
        self._check(kind, public, secrets)
        await check_connections(self.session, self.actor.org_id)
        connection = Connection(
            org_id=self.actor.org_id,
            name=valid_name(name),
            kind=kind,
            description=description,
            config=public,
            operator_managed=_has_reference(secrets),
        )
        await self._save(connection)
        if secrets:
            connection.secrets = _encrypt(connection, secrets)
            await self.session.flush()
        await record(
            self.session, self.actor, "connection.created", "connection", connection.id,
            new=_snapshot(connection, secrets),
        )  # fmt: skip
        return connection

    async def get(self, connection_id: int) -> Connection:
        """Raises :class:`NotFound`, also for another organisation's connection."""
        self.actor.require("connection:read")
        return await self.find(connection_id)

    async def find(self, connection_id: int, *, lock: bool = False) -> Connection:
        """The connection, for a caller that has checked its own permission."""
        return await load_connection(self.session, self.actor.org_id, connection_id, lock=lock)

    async def list(
        self,
        page: PageRequest = OLDEST,
        *,
        name: str | None = None,
        search: str | None = None,
        kind: str | None = None,
    ) -> RowPage[Connection]:
        """The organisation's connections; ``search`` is a part of the name."""
        self.actor.require("connection:read")
        query = rows_of(Connection).where(
            Connection.org_id == self.actor.org_id, Connection.deleted_at.is_(None)
        )
        if name is not None:
            query = query.where(Connection.name == name)
        if search is not None:
            query = query.where(contains(Connection.name, search))
        if kind is not None:
            query = query.where(Connection.kind == kind)
        return await fetch_page(self.session, query, SORTS, page)

    async def update(
        self,
        connection_id: int,
        *,
        name: str | None = None,
        config: dict[str, Any] | None = None,
        description: str | None = None,
        revision: int | None = None,
    ) -> Connection:
        """Change what is given. ``config`` replaces the old one, except that secrets left out of
        it are kept and secrets given empty are forgotten.

        Raises :class:`Conflict` ``stale_revision`` when somebody changed it since ``revision``.
        """
        self.actor.require("connection:write")
        connection = await self.find(connection_id, lock=True)
        check_revision(connection.revision, revision)
        kept = _decrypt(connection)
        old = _snapshot(connection, kept)
        if name is not None:
            connection.name = valid_name(name)
        if description is not None:
            connection.description = description
        if config is not None:
            if connection.operator_managed:
                self._require_operator("config")
            public, kept = merged_config(connection, config)
            self._check(connection.kind, public, kept)
            connection.config = public
            # What was tested is no more.
            connection.tested_at = connection.test_code = None
            connection.operator_managed = _has_reference(kept)
            connection.secrets = _encrypt(connection, kept) if kept else None
        connection.revision += 1
        await self._save(connection)
        await record(
            self.session, self.actor, "connection.updated", "connection", connection.id,
            old=old, new=_snapshot(connection, kept),
        )  # fmt: skip
        return connection

    async def copy(self, connection_id: int, name: str) -> Connection:
        """A new connection with the same configuration and secrets, encrypted for its own row."""
        self.actor.require("connection:write")
        original = await self.find(connection_id)
        secrets = _decrypt(original)
        await check_connections(self.session, self.actor.org_id)
        copied = Connection(
            org_id=self.actor.org_id,
            name=valid_name(name),
            kind=original.kind,
            description=original.description,
            config=original.config,
            operator_managed=original.operator_managed,
        )
        await self._save(copied)
        if secrets:
            copied.secrets = _encrypt(copied, secrets)
            await self.session.flush()
        await record(
            self.session, self.actor, "connection.created", "connection", copied.id,
            new={**_snapshot(copied, secrets), "copy_of": connection_id},
        )  # fmt: skip
        return copied

    async def delete(self, connection_id: int) -> None:
        """Raises :class:`Conflict` ``connection_in_use`` with the names of what uses it."""
        self.actor.require("connection:delete")
        connection = await self.find(connection_id, lock=True)
        uses = (await uses_of(self.session, self.actor.org_id, [connection_id]))[connection_id]
        slots = await slots_in_the_way(self.session, self.actor.org_id, connection_id)
        users = (
            *(f"replication slot {name}, which is being dropped" for name in slots),
            *(f"{use.kind} {use.name}" for use in uses),
        )
        if users:
            raise Conflict(
                f"This connection is used by {', '.join(users)}.",
                code="connection_in_use",
                hint="Delete those first, or point them to another connection.",
                used_by=users,
            )
        left = await give_up(self.session, self.actor.org_id, connection_id)
        connection.deleted_at = dt.datetime.now(dt.UTC)
        # A deleted connection has no use for its credentials.
        connection.secrets = None
        await self.session.flush()
        await record(
            self.session, self.actor, "connection.deleted", "connection", connection_id,
            old={"name": connection.name, "kind": connection.kind}
            | ({"slots_left": left} if left else {}),
        )  # fmt: skip

    async def refs(self, ids: Iterable[int], *, lock: bool = False) -> dict[int, ConnectionRef]:
        """What the compiler may know, by id; ids that are not there are left out.

        For a caller that has checked its own permission. ``lock`` keeps them from being deleted
        until this transaction ends: for whoever is about to save something that uses them.
        """
        query = (
            select(Connection)
            .where(
                Connection.org_id == self.actor.org_id,
                Connection.deleted_at.is_(None),
                Connection.id.in_(set(ids)),
            )
            .order_by(Connection.id)
        )
        rows = await self.session.scalars(query.with_for_update(read=True) if lock else query)
        return {row.id: ConnectionRef(id=row.id, name=row.name, kind=row.kind) for row in rows}

    def _check(self, kind: str, public: dict[str, Any], secrets: dict[str, Any]) -> None:
        """Whether the kind takes this configuration, and the actor may refer to secrets."""
        references = {name: value for name, value in secrets.items() if is_reference(value)}
        for name, value in references.items():
            check_reference(value, f"config.{name}")
            self._require_operator(f"config.{name}")
        # What a reference leads to is known when it is used; until then it counts as a text.
        texts = {name: "reference" for name in references}
        validate_config(kind, public | secrets | texts)

    def _require_operator(self, field: str) -> None:
        if not self.actor.is_operator:
            raise PermissionDenied(
                "Only an operator of the platform, logged in, may refer to the platform's secrets "
                "or change where they are sent.",
                code="operator_only",
                field=field,
                hint="Make a connection with a secret of your own.",
            )

    async def _save(self, connection: Connection) -> None:
        try:
            async with self.session.begin_nested():
                self.session.add(connection)
        except IntegrityError:
            raise Conflict(
                "There is already a connection with this name.", code="name_taken", field="name"
            ) from None


async def load_connection(
    session: AsyncSession, org_id: int, connection_id: int, *, lock: bool = False
) -> Connection:
    """A live connection of ``org_id``; raises :class:`NotFound`."""
    query = select(Connection).where(
        Connection.id == connection_id,
        Connection.org_id == org_id,
        Connection.deleted_at.is_(None),
    )
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    connection = await session.scalar(query)
    if connection is None:
        raise NotFound("There is no such connection.", code="connection_not_found")
    return connection


async def resolve_connection(
    session: AsyncSession, org_id: int, connection_id: int
) -> ResolvedConnection:
    """A connection with its credentials, for a run whose token has proven ``org_id``."""
    connection = await load_connection(session, org_id, connection_id)
    return ResolvedConnection(
        id=connection.id,
        name=connection.name,
        kind=connection.kind,
        config=connection.config | _resolved(_decrypt(connection)),
        secret_fields=connector_kind(connection.kind).secret_fields,
        egress=await current_policy(),
        root=str(settings.org_root(org_id)),
    )


def check_unsaved(kind: str, config: dict[str, Any]) -> None:
    """Raise :class:`InvalidInput` for a configuration that could not be saved."""
    public, secrets = split_secrets(kind, config)
    validate_config(kind, public | secrets)


async def resolve_unsaved(org_id: int, kind: str, config: dict[str, Any]) -> ResolvedConnection:
    """A configuration that is tried before it is saved, as a connection."""
    check_unsaved(kind, config)
    public, secrets = split_secrets(kind, config)
    return ResolvedConnection(
        id=0,
        name="new connection",
        kind=kind,
        config=public | secrets,
        secret_fields=connector_kind(kind).secret_fields,
        egress=await current_policy(),
        root=str(settings.org_root(org_id)),
    )


def secret_names(connection: Connection) -> tuple[str, ...]:
    """Which secrets are set. Their values stay where they are."""
    return tuple(sorted(_decrypt(connection)))


def referenced_names(connection: Connection) -> tuple[str, ...]:
    """Which secrets are references to the operator's."""
    if not connection.operator_managed:
        return ()
    secrets = _decrypt(connection)
    return tuple(sorted(name for name, value in secrets.items() if is_reference(value)))


def split_secrets(kind: str, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``config`` without its secrets, and the secrets that are not empty."""
    names = connector_kind(kind).secret_fields
    public = {key: value for key, value in config.items() if key not in names}
    secrets = {key: config[key] for key in names if config.get(key) not in (None, "")}
    return public, secrets


def merged_config(
    connection: Connection, config: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(public, secrets) with ``config`` in the place of the connection's own: secrets left out of
    it are kept, secrets given empty are forgotten."""
    public, given = split_secrets(connection.kind, config)
    emptied = set(connector_kind(connection.kind).secret_fields) & config.keys()
    kept = {key: value for key, value in _decrypt(connection).items() if key not in emptied}
    return public, kept | given


def _has_reference(secrets: dict[str, Any]) -> bool:
    return any(is_reference(value) for value in secrets.values())


def _resolved(secrets: dict[str, Any]) -> dict[str, Any]:
    """``secrets`` with what they refer to in the place of references."""
    return {
        name: resolve_reference(value) if is_reference(value) else value
        for name, value in secrets.items()
    }


def _encrypt(connection: Connection, secrets: dict[str, Any]) -> str:
    return EncryptionService().encrypt(
        secrets, org_id=connection.org_id, table=TABLE, row_id=connection.id
    )


def _decrypt(connection: Connection) -> dict[str, Any]:
    if connection.secrets is None:
        return {}
    return EncryptionService().decrypt(
        connection.secrets, org_id=connection.org_id, table=TABLE, row_id=connection.id
    )


def _snapshot(connection: Connection, secrets: dict[str, Any]) -> dict[str, Any]:
    """What the audit log keeps: which credentials were set, not what they are."""
    return {
        "name": connection.name,
        "kind": connection.kind,
        "description": connection.description,
        "config": connection.config,
        "set": sorted(secrets),
    }

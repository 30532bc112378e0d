"""``client.connections``"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from datanika.client.resource import Resource, if_match
from datanika.contracts.api import (
    ConnectionCopyIn,
    ConnectionIn,
    ConnectionOut,
    ConnectionPatch,
    ConnectionTestIn,
    ConnectionTrialIn,
    IntrospectIn,
    JobOut,
    PreviewIn,
    QueryIn,
)
from datanika.contracts.catalog import ConnectorKind
from datanika.errors import NotFound

Sort = Literal[
    "id", "-id", "name", "-name", "kind", "-kind",
    "created_at", "-created_at", "updated_at", "-updated_at",
]  # fmt: skip


class Connections(Resource):
    """Sources and destinations. Secrets go in and never come out.

    ``test``, ``introspect``, ``preview`` and ``query`` start a job; with ``wait`` (at most 60 s)
    the answer comes when it is over, or after so many seconds.
    """

    def kinds(self) -> Sequence[ConnectorKind]:
        """What can be connected, each with the schema of its configuration."""
        return self._whole(ConnectorKind, "connection-kinds")

    def list(
        self,
        *,
        name: str | None = None,
        search: str | None = None,
        kind: str | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[ConnectionOut]:
        """Every connection; ``search`` is a part of the name."""
        return self._items(
            ConnectionOut,
            "connections",
            name=name,
            search=search,
            kind=kind,
            sort=sort,
            limit=page_size,
        )

    def find(self, reference: str | int) -> ConnectionOut:
        """A connection by its id or its name; raises :class:`NotFound`."""
        if str(reference).isdecimal():
            return self.get(int(reference))
        for found in self.list(name=str(reference)):
            return found
        raise NotFound(f"There is no connection {reference!r}.", code="connection_not_found")

    def get(self, connection_id: int) -> ConnectionOut:
        """One connection, without its secrets."""
        return self._get(ConnectionOut, f"connections/{connection_id}")

    def create(
        self, connection: ConnectionIn, *, idempotency_key: str | None = None
    ) -> ConnectionOut:
        """A new connection; its ``config`` includes its secrets."""
        return self._post(ConnectionOut, "connections", connection, idempotency_key=idempotency_key)

    def copy(
        self, connection_id: int, name: str, *, idempotency_key: str | None = None
    ) -> ConnectionOut:
        """Another one with the same configuration and secrets."""
        body = ConnectionCopyIn(name=name)
        path = f"connections/{connection_id}/copy"
        return self._post(ConnectionOut, path, body, idempotency_key=idempotency_key)

    def update(
        self,
        connection: ConnectionOut | int,
        change: ConnectionPatch,
        *,
        revision: int | None = None,
        overwrite: bool = False,
    ) -> ConnectionOut:
        """Change what is given; secrets left out of ``config`` keep their value. Raises
        :class:`PreconditionFailed` if somebody was faster, unless ``overwrite``."""
        connection_id = connection if isinstance(connection, int) else connection.id
        condition = if_match(connection, revision, overwrite)
        return self._patch(ConnectionOut, f"connections/{connection_id}", change, condition)

    def delete(self, connection_id: int) -> None:
        """Take it away; refused while something uses it."""
        self._delete(f"connections/{connection_id}")

    def test(
        self,
        connection_id: int,
        change: ConnectionTrialIn | None = None,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """Try it with its credentials, or with a ``change`` that is not saved yet."""
        path = f"connections/{connection_id}/test"
        return self._post(JobOut, path, change, wait=wait, idempotency_key=idempotency_key)

    def test_unsaved(
        self,
        connection: ConnectionTestIn,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """Try a configuration before it is saved."""
        return self._post(
            JobOut, "connections/test", connection, wait=wait, idempotency_key=idempotency_key
        )

    def introspect(
        self,
        connection_id: int,
        request: IntrospectIn | None = None,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """Schemas and tables with their columns, uploaded files, or endpoints."""
        path = f"connections/{connection_id}/introspect"
        return self._post(JobOut, path, request, wait=wait, idempotency_key=idempotency_key)

    def preview(
        self,
        connection_id: int,
        request: PreviewIn,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """The first rows of a table, of files or of an endpoint."""
        path = f"connections/{connection_id}/preview"
        return self._post(JobOut, path, request, wait=wait, idempotency_key=idempotency_key)

    def slots(
        self,
        connection_id: int,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """The platform's replication slots at a source, and which step reads them."""
        path = f"connections/{connection_id}/slots"
        return self._post(JobOut, path, wait=wait, idempotency_key=idempotency_key)

    def drop_slots(
        self,
        connection_id: int,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """Drop those that no step of the organisation uses any more."""
        path = f"connections/{connection_id}/slots/drop"
        return self._post(JobOut, path, wait=wait, idempotency_key=idempotency_key)

    def query(
        self,
        connection_id: int,
        request: QueryIn,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """Rows of one statement that reads."""
        path = f"connections/{connection_id}/query"
        return self._post(JobOut, path, request, wait=wait, idempotency_key=idempotency_key)

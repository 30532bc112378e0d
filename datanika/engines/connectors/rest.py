"""JSON APIs over HTTP as sources: an API is a table of endpoints, and nothing else is written.

A kind of this sort gives its :class:`RestApi` as data: where it is, how one logs in, and per
endpoint the path, the key, the paging, where the records are, and the parameter that asks for new
rows only. ``dlt_engine/sources/rest.py`` reads it through dlt's rest_api source.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import Connector, ConnectorConfig, Reading
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import (
        IntrospectAction,
        IntrospectionResult,
        PreviewAction,
        RowsResult,
        TableInfo,
    )


@dataclass
class Call:
    """One request, still to be sent: what a cursor's value changes."""

    params: dict[str, Any]
    json: dict[str, Any] | None


@dataclass(frozen=True)
class Since:
    """How an endpoint is asked for rows from a value on. ``column`` has it in every row.

    Either ``param`` is a query parameter that takes ``format(value)``, or ``apply`` changes the
    call. Neither: the API cannot filter, so every page is read and old rows are dropped here.
    """

    column: str
    param: str | None = None
    format: Callable[[Any], Any] = lambda value: value
    apply: Callable[[Call, Any], None] | None = None


@dataclass(frozen=True)
class Parent:
    """An endpoint whose rows each lead to pages of another one.

    ``{field}`` stands in the child's path for the parent's ``field``, and arrives as ``column``.
    """

    endpoint: str
    field: str
    column: str


@dataclass(frozen=True)
class RestEndpoint:
    """One endpoint, which a pipeline's table names by ``name``."""

    name: str
    path: str
    primary_key: tuple[str, ...] = ("id",)
    records: str | None = None
    """JSONPath of the list of records; None lets dlt find it."""
    paginator: Any = "single_page"
    """What dlt's rest_api takes, or a function that makes a paginator."""
    params: Mapping[str, Any] = field(default_factory=dict)
    since: Since | None = None
    method: str = "GET"
    json: Mapping[str, Any] | None = None
    parent: Parent | None = None
    lift: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Makes the row of a record, where a record is not one already."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Name -> type, where the API's document tells."""


@dataclass(frozen=True)
class RestApi:
    """An API as one connection sees it."""

    base_url: str
    endpoints: tuple[RestEndpoint, ...]
    auth: Any = None
    """What dlt's rest_api takes: a mapping with ``type``, or an ``AuthBase``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Any], None] | None = None
    """Raises for an answer that is a failure in its own way, such as one with status 200."""
    probe: str | None = None
    """Endpoint that a connection test asks; else the first one."""


class RestConnector[C: ConnectorConfig](Connector[C]):
    """An API. ``base_url`` replaces the vendor's own address: for tests, never for tenants."""

    is_source = True
    gives_rows = True

    def __init__(self, base_url: str | None = None) -> None:
        self.base_url = base_url

    @abstractmethod
    def api(self, connection: ResolvedConnection) -> RestApi:
        """The API that ``connection`` means. Called once for a load; may ask the API itself."""

    def names(self, connection: ResolvedConnection) -> list[str]:
        """Every endpoint's name."""
        return [endpoint.name for endpoint in self.api(connection).endpoints]

    def endpoint(self, api: RestApi, connection: ResolvedConnection, name: str) -> RestEndpoint:
        """Raises :class:`TerminalStepError` ``endpoint_missing``."""
        for endpoint in api.endpoints:
            if endpoint.name == name:
                return endpoint
        raise TerminalStepError(
            f"Connection {connection.name!r} has no endpoint {name!r}.",
            code="endpoint_missing",
            hint=f"Its endpoints: {', '.join(item.name for item in api.endpoints)}.",
        )

    def test(self, connection: ResolvedConnection) -> None:
        """Ask one endpoint for its first page."""
        api = self.api(connection)
        name = api.probe or api.endpoints[0].name
        self._first(connection, name, 1)

    def introspect(self, action: IntrospectAction, folder: Path) -> IntrospectionResult:
        from datanika.contracts.ad_hoc import TableInfo
        from datanika.contracts.events import ColumnInfo
        from datanika.engines.ad_hoc.pages import page_of_names

        api = self.api(action.connection)

        def describe(name: str) -> TableInfo:
            endpoint = self.endpoint(api, action.connection, name)
            return TableInfo(
                schema_name=None,
                name=name,
                kind="endpoint",
                columns=tuple(
                    ColumnInfo(name=column, data_type=kind)
                    for column, kind in endpoint.columns.items()
                ),
                primary_key=endpoint.primary_key,
            )

        return page_of_names(action, self.names(action.connection), describe)

    def preview(self, action: PreviewAction, folder: Path) -> RowsResult:
        from datanika.engines.ad_hoc.cells import RowCollector

        items = self._first(action.connection, action.table, action.limit + 1)
        names = action.columns or tuple(dict.fromkeys(name for item in items for name in item))
        rows = RowCollector(action.limit)
        rows.add([item.get(name) for name in names] for item in items)
        return rows.result((name, "json") for name in names)

    def open_resource(self, reading: Reading, start: Any = None) -> AbstractContextManager[Any]:
        from datanika.engines.dlt_engine.sources.rest import open_endpoint

        api = self.api(reading.connection)
        endpoint = self.endpoint(api, reading.connection, reading.table.name)
        return open_endpoint(
            api, endpoint, reading.connection.egress, str(reading.table.target), start
        )

    def _first(self, connection: ResolvedConnection, name: str, limit: int) -> list[dict[str, Any]]:
        import tempfile

        from datanika.engines.dlt_engine.runtime import isolated_dlt
        from datanika.engines.dlt_engine.sources.rest import open_endpoint

        with tempfile.TemporaryDirectory() as folder, isolated_dlt(Path(folder)):
            api = self.api(connection)
            endpoint = self.endpoint(api, connection, name)
            with open_endpoint(api, endpoint, connection.egress, "preview") as resource:
                return list(islice(resource, limit))

"""Does a connection work? One small question to its other end."""

from __future__ import annotations

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.postgres import locate
from datanika.engines.connectors.registry import connector_of


def check_connection(connection: ResolvedConnection) -> None:
    """Return, or raise what the driver or the connector raises."""
    connector_of(connection).parse(connection)
    match connection.kind:
        case "postgres":
            _postgres(connection)
        case "duckdb":
            from datanika.engines.warehouse.duckdb import DuckdbWarehouse

            DuckdbWarehouse(connection).close()
        case "files":
            from datanika.engines.connectors.files import FOLDER
            from datanika.engines.connectors.paths import inside

            inside(connection, FOLDER).mkdir(parents=True, exist_ok=True)
        case "rest_api":
            _rest_api(connection)


def _postgres(connection: ResolvedConnection) -> None:
    from datanika.engines.warehouse.postgres import connect

    opened = connect(locate(connection), "datanika connection test")
    try:
        with opened.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        opened.close()


def _rest_api(connection: ResolvedConnection) -> None:
    """Ask the first endpoint for its first page."""
    import tempfile
    from pathlib import Path

    from datanika.contracts.spec import TableSpec
    from datanika.engines.connectors.rest_api import REST_API
    from datanika.engines.dlt_engine.runtime import isolated_dlt
    from datanika.engines.dlt_engine.sources.rest import open_endpoint

    endpoint = REST_API.parse(connection).endpoints[0]
    table = TableSpec(name=endpoint.name, target=endpoint.name.lower())
    with (
        tempfile.TemporaryDirectory() as folder,
        isolated_dlt(Path(folder)),
        open_endpoint(connection, table) as resource,
    ):
        next(iter(resource.add_limit(1)), None)

"""dlt destinations with explicit credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.postgres import PostgresTarget, locate
from datanika.engines.dlt_engine.move import MoveFromStaging
from datanika.engines.dlt_engine.runtime import STAGING_LAYOUT
from datanika.engines.warehouse import Warehouse, WriterId
from datanika.engines.warehouse.postgres import CONNECT_SECONDS

if TYPE_CHECKING:
    from datanika.engines.warehouse.duckdb import DuckdbWarehouse


# A replace goes through staging and one transaction, so that no reader sees half a table, and keeps
# the table itself, because views of dbt models may hang on it.
_THROUGH_STAGING: dict[str, Any] = {
    "replace_strategy": "insert-from-staging",
    "staging_dataset_name_layout": STAGING_LAYOUT,
    "create_indexes": False,
}


def postgres_destination(
    connection: ResolvedConnection, writer: WriterId, warehouse: Warehouse, move: MoveFromStaging
) -> Any:
    """dlt's PostgreSQL; ``move`` is part of its merges."""
    from datanika.engines.dlt_engine.staged import staged_postgres

    return staged_postgres(move)(
        credentials=_credentials(
            locate(connection), warehouse.name_of_sessions(writer), warehouse.session_options
        ),
        **_THROUGH_STAGING,
    )


def duckdb_destination(warehouse: Warehouse, move: MoveFromStaging) -> Any:
    """dlt's DuckDB in the session that the warehouse has opened; ``move`` is part of its merges."""
    from datanika.engines.dlt_engine.staged import staged_duckdb

    duckdb_warehouse: DuckdbWarehouse = warehouse  # type: ignore[assignment]
    return staged_duckdb(move)(
        credentials=duckdb_warehouse.connection,
        **_THROUGH_STAGING,
    )


def postgres_uri(target: PostgresTarget, application_name: str, session_options: str = "") -> str:
    """A libpq URI; nothing is left for the environment or the password file to fill in."""
    config = target.config
    host = f"[{config.host}]" if ":" in config.host else config.host
    query = urlencode(_options(target, application_name, session_options), quote_via=quote)
    login = f"{quote(config.user, safe='')}:{quote(config.password, safe='')}"
    return f"postgresql://{login}@{host}:{config.port}/{quote(config.database, safe='')}?{query}"


def _options(target: PostgresTarget, application_name: str, session_options: str) -> dict[str, str]:
    return {
        "hostaddr": target.address,
        "sslmode": target.config.sslmode,
        "application_name": application_name,
        "connect_timeout": str(CONNECT_SECONDS),
        "passfile": "/dev/null",
        # A tab, because dlt writes a space as "+", which libpq does not read as one.
        "options": f"-ctimezone=UTC\t{session_options}".rstrip(),
    }


def _credentials(target: PostgresTarget, application_name: str, session_options: str) -> Any:
    from dlt.destinations.impl.postgres.configuration import PostgresCredentials

    return PostgresCredentials(postgres_uri(target, application_name, session_options))

"""dlt's destinations, with our part of the move from staging, and Parquet files without rows.

ADBC fails on a file without a row, so on PostgreSQL the replace of an emptied source would leave
stale data. There is nothing to copy for such a file; the step from staging to the table must still
happen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from datanika.engines.dlt_engine.fence import check_holder, fenced_sql_client
from datanika.engines.dlt_engine.move import MoveFromStaging, moving_client
from datanika.engines.warehouse.postgres import lock_key


@cache
def postgres_client() -> type[Any]:
    """dlt's job client; dlt is imported when it is first asked for."""
    import pyarrow.parquet as pq
    from dlt.common.storages.load_storage import ParsedLoadJobFileName
    from dlt.destinations.impl.postgres.postgres import PostgresClient, PostgresParquetCopyJob

    class ParquetCopyJob(PostgresParquetCopyJob):
        def _connect(self) -> Any:
            connection = super()._connect()
            with connection.cursor() as cursor:
                check_holder(cursor)
            return connection

        def run(self) -> None:
            if pq.read_metadata(self._file_path).num_rows:
                super().run()

    class StagedPostgresClient(PostgresClient):
        def __init__(self, schema: Any, config: Any, capabilities: Any) -> None:
            super().__init__(schema, config, capabilities)
            plain: Any = self.sql_client
            self.sql_client: Any = fenced_sql_client()(
                plain.dataset_name, plain.staging_dataset_name, config.credentials, capabilities
            )

        def initialize_storage(self, truncate_tables: Any = None) -> None:
            with self._only_writer_of_schema():
                super().initialize_storage(truncate_tables)

        def update_stored_schema(self, *args: Any, **kwargs: Any) -> Any:
            with self._only_writer_of_schema():
                return super().update_stored_schema(*args, **kwargs)

        @contextlib.contextmanager
        def _only_writer_of_schema(self) -> Iterator[None]:
            """dlt looks whether a schema or a table of its own is there, then creates it: of two
            first loads at the same time, one would fail."""
            key = lock_key("schema", self.sql_client.dataset_name)
            self.sql_client.execute_sql("SELECT pg_advisory_lock(%s)", key)
            try:
                yield
            finally:
                # A lost session has lost its locks, and the error that is on its way says more.
                with contextlib.suppress(Exception):
                    self.sql_client.execute_sql("SELECT pg_advisory_unlock(%s)", key)

        def create_load_job(
            self, table: Any, file_path: str, load_id: str, restore: bool = False
        ) -> Any:
            if ParsedLoadJobFileName.parse(file_path).file_format == "parquet":
                return ParquetCopyJob(file_path)
            return super().create_load_job(table, file_path, load_id, restore)

    return StagedPostgresClient


def staged_postgres(move: MoveFromStaging) -> type[Any]:
    """PostgreSQL with ``move`` in its merges."""
    from dlt.destinations import postgres

    client = moving_client(postgres_client(), move)

    class StagedPostgres(postgres):
        @property
        def client_class(self) -> type[Any]:
            return client

    return StagedPostgres


def staged_duckdb(move: MoveFromStaging) -> type[Any]:
    """DuckDB with ``move`` in its merges."""
    from dlt.destinations import duckdb
    from dlt.destinations.impl.duckdb.duck import DuckDbClient

    client = moving_client(DuckDbClient, move)

    class StagedDuckdb(duckdb):
        def _raw_capabilities(self) -> Any:
            # dlt 1.31 does not know that it has them, and commits a move statement by statement
            # where none of them makes or drops a table.
            capabilities = super()._raw_capabilities()
            capabilities.supports_transactions = True
            return capabilities

        @property
        def client_class(self) -> type[Any]:
            return client

    return StagedDuckdb

"""dlt's own tables (``_dlt_loads``, ``_dlt_version``, ``_dlt_pipeline_state``), kept as dlt keeps
them, but in the transaction of the rows: a table may be loaded by dlt and by COPY in turn.
"""

from __future__ import annotations

import base64
import copy
import json
import secrets
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from datanika.engines.warehouse.base import LOAD_ID, LOADS_TABLE, qualified, quoted
from datanika.engines.warehouse.postgres import lock_key

VERSION_TABLE = "_dlt_version"
STATE_TABLE = "_dlt_pipeline_state"
_DDL = {
    VERSION_TABLE: "version bigint NOT NULL, engine_version bigint NOT NULL, "
    "inserted_at timestamptz NOT NULL, schema_name varchar NOT NULL, "
    "version_hash varchar NOT NULL, schema varchar NOT NULL",
    LOADS_TABLE: "load_id varchar NOT NULL, schema_name varchar, status bigint NOT NULL, "
    "inserted_at timestamptz NOT NULL, schema_version_hash varchar",
    STATE_TABLE: "version bigint NOT NULL, engine_version bigint NOT NULL, "
    "pipeline_name varchar NOT NULL, state varchar NOT NULL, created_at timestamptz NOT NULL, "
    "version_hash varchar, _dlt_load_id varchar NOT NULL, _dlt_id varchar NOT NULL UNIQUE",
}
_TOLD = ("data_type", "precision", "scale", "timezone")
_STATE_ENGINE = 4
LOAD_ID_COLUMN: dict[str, Any] = {
    "name": LOAD_ID,
    "data_type": "text",
    "precision": 64,
    "nullable": False,
    "description": "Load identifier linking this row to its load operation",
}


class BookSession(Protocol):
    """Where the entries are made: PostgreSQL or DuckDB; placeholders are ``%s``."""

    def run(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]: ...

    def lock(self, key: int) -> None: ...

    def unlock(self, key: int) -> None: ...


class Books:
    """What dlt has stored about one table's pipeline in ``schema``, and the entries of a load."""

    def __init__(self, session: BookSession, schema: str, pipeline: str, resource: str) -> None:
        self._session, self._schema, self._pipeline = session, schema, pipeline
        self._resource = resource
        self.load_id = repr(time.time())
        self._state: dict[str, Any] | None = None
        self._stored: dict[str, Any] | None = None

    def prepare(self) -> None:
        """Make the schema and dlt's tables where they are missing, and read them."""
        present = self._present()
        if len(present) < len(_DDL):
            with self._only_writer_of_schema():
                if not self._session.run(
                    "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s "
                    "AND catalog_name = current_database()",
                    [self._schema],
                ):
                    self._session.run(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._schema)}")
                for name, columns in _DDL.items():
                    table = qualified((self._schema, name))
                    self._session.run(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
        self._read()

    def look(self) -> None:
        """Read dlt's tables where they are there; nothing is made."""
        if len(self._present()) == len(_DDL):
            self._read()

    def _present(self) -> set[str]:
        rows = self._session.run(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s "
            f"AND table_name IN ({', '.join(['%s'] * len(_DDL))}) "
            "AND table_catalog = current_database()",
            [self._schema, *_DDL],
        )
        return {str(name) for (name,) in rows}

    def resource_state(self) -> dict[str, Any]:
        """A copy of what the table's resource has stored."""
        sources = (self._state or {}).get("sources", {}).get(self._pipeline, {})
        found: dict[str, Any] = sources.get("resources", {}).get(self._resource, {})
        return copy.deepcopy(found)

    def hints(self) -> Mapping[str, Any]:
        """dlt's words for each column of the table, by its name."""
        tables = (self._stored or {}).get("tables", {})
        columns: dict[str, Any] = tables.get(self._resource, {}).get("columns", {})
        return columns

    def enter(
        self, columns: Mapping[str, Mapping[str, Any]], resource_state: dict[str, Any], how: str
    ) -> None:
        """The load has been made: its columns, its state, and that it is complete."""
        version_hash = self._enter_schema(columns, how)
        if resource_state != self.resource_state():
            self._enter_state(resource_state)
        self._session.run(
            f"INSERT INTO {qualified((self._schema, LOADS_TABLE))} "
            "(load_id, schema_name, status, inserted_at, schema_version_hash) "
            "VALUES (%s, %s, 0, now(), %s)",
            [self.load_id, self._pipeline, version_hash],
        )

    def forget_state(self) -> None:
        """What was stored before goes: a full refresh begins anew."""
        self._session.run(
            f"DELETE FROM {qualified((self._schema, STATE_TABLE))} WHERE pipeline_name = %s",
            [self._pipeline],
        )

    def _read(self) -> None:
        rows = self._session.run(
            f"SELECT s.state FROM {qualified((self._schema, STATE_TABLE))} s "
            f"JOIN {qualified((self._schema, LOADS_TABLE))} l ON l.load_id = s._dlt_load_id "
            "WHERE s.pipeline_name = %s AND l.status = 0 ORDER BY l.load_id DESC LIMIT 1",
            [self._pipeline],
        )
        if rows:
            self._state = _decoded_state(self._pipeline, rows[0][0])
        rows = self._session.run(
            f"SELECT schema FROM {qualified((self._schema, VERSION_TABLE))} "
            "WHERE schema_name = %s ORDER BY inserted_at DESC LIMIT 1",
            [self._pipeline],
        )
        if rows:
            self._stored = json.loads(rows[0][0])

    def _is_known(self, columns: Mapping[str, Mapping[str, Any]], how: str) -> bool:
        """Whether the stored schema says all of this already."""
        if self._stored is None:
            return False
        table = self._stored.get("tables", {}).get(self._resource, {})
        stored = dict(table.get("columns", {}))
        stored.pop(LOAD_ID, None)
        told = {
            name: {key: column[key] for key in _TOLD if column.get(key) is not None}
            for name, column in stored.items()
        }
        return table.get("write_disposition") == how and told == columns

    def _enter_schema(self, columns: Mapping[str, Mapping[str, Any]], how: str) -> str:
        if self._is_known(columns, how):
            assert self._stored is not None
            return str(self._stored["version_hash"])
        import dlt
        from dlt.common.json import json as dlt_json
        from dlt.common.schema.utils import pipeline_state_table

        if self._stored is not None:
            schema = dlt.Schema.from_dict(copy.deepcopy(self._stored))
        else:
            schema = dlt.Schema(self._pipeline)
            schema.update_table(pipeline_state_table(), normalize_identifiers=False)
        table = {
            "name": self._resource,
            "resource": self._resource,
            "write_disposition": how,
            "file_format": "parquet",
            "columns": {
                **{
                    name: {"name": name, "nullable": True, **hint} for name, hint in columns.items()
                },
                LOAD_ID: LOAD_ID_COLUMN,
            },
            "x-normalizer": {"seen-data": True},
        }
        schema.tables.pop(self._resource, None)
        schema.update_table(table, normalize_identifiers=False)
        stored = schema.to_dict()
        version_hash = str(stored["version_hash"])
        if self._stored is None or self._stored["version_hash"] != version_hash:
            self._session.run(
                f"INSERT INTO {qualified((self._schema, VERSION_TABLE))} "
                "(version, engine_version, inserted_at, schema_name, version_hash, schema) "
                "VALUES (%s, %s, now(), %s, %s, %s)",
                [
                    stored["version"],
                    stored["engine_version"],
                    self._pipeline,
                    version_hash,
                    dlt_json.dumps(stored),
                ],
            )
        return version_hash

    def _enter_state(self, resource_state: dict[str, Any]) -> None:
        from dlt.common.versioned_state import compress_state
        from dlt.pipeline.state_sync import (
            bump_pipeline_state_version_if_modified,
            default_pipeline_state,
        )

        state: Any = copy.deepcopy(self._state) if self._state else default_pipeline_state()
        state.pop("_local", None)
        state.setdefault("schema_names", [self._pipeline])
        state.setdefault("default_schema_name", self._pipeline)
        state.setdefault("pipeline_name", self._pipeline)
        state.setdefault("dataset_name", self._schema)
        state.setdefault("destination_type", "dlt.destinations.postgres")
        state.setdefault("destination_name", None)
        sources = state.setdefault("sources", {}).setdefault(self._pipeline, {})
        sources.setdefault("resources", {})[self._resource] = resource_state
        version, version_hash, _ = bump_pipeline_state_version_if_modified(state)
        self._session.run(
            f"INSERT INTO {qualified((self._schema, STATE_TABLE))} (version, engine_version, "
            "pipeline_name, state, created_at, version_hash, _dlt_load_id, _dlt_id) "
            "VALUES (%s, %s, %s, %s, now(), %s, %s, %s)",
            [
                version,
                state["_state_engine_version"],
                self._pipeline,
                compress_state(state),
                version_hash,
                self.load_id,
                secrets.token_urlsafe(10),
            ],
        )

    @contextmanager
    def _only_writer_of_schema(self) -> Iterator[None]:
        """Whoever looks whether a schema is there and then creates it: one at a time."""
        key = lock_key("schema", self._schema)
        self._session.lock(key)
        try:
            yield
        finally:
            self._session.unlock(key)


def _decoded_state(pipeline: str, text: str) -> dict[str, Any]:
    """dlt's state. What is of today's version and holds no values but JSON's own is read without
    dlt, whose import takes longer than a small load."""
    with suppress(ValueError, zlib.error):
        plain = zlib.decompress(base64.b64decode(text, validate=True)).decode()
        # dlt marks dates, decimals and the like with characters of a private use area.
        if not any("\uf000" <= character <= "\uf0ff" for character in plain):
            state: dict[str, Any] = json.loads(plain)
            if state.get("_state_engine_version") == _STATE_ENGINE:
                return state
    from dlt.common.versioned_state import decompress_state
    from dlt.pipeline.state_sync import migrate_state_to_current

    migrated: Any = migrate_state_to_current(pipeline, decompress_state(text))
    return dict(migrated)

"""What a source has: schemas, tables with their columns, files, endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datanika.contracts.ad_hoc import IntrospectAction, IntrospectionResult, TableInfo
from datanika.contracts.events import ColumnInfo
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.files import describe_file
from datanika.engines.ad_hoc.read_only import DuckdbReader, PostgresReader
from datanika.engines.connectors.files import FILES, FOLDER
from datanika.engines.connectors.paths import inside
from datanika.engines.connectors.rest_api import REST_API
from datanika.errors import TerminalStepError

_PG_SCHEMAS = """
SELECT nspname FROM pg_catalog.pg_namespace
WHERE nspname NOT IN ('information_schema') AND nspname !~ '^pg_'
  AND has_schema_privilege(oid, 'USAGE')
ORDER BY nspname
"""
_PG_TABLES = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.reltuples::bigint,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(c.oid) END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('information_schema') AND n.nspname !~ '^pg_'
  AND has_schema_privilege(n.oid, 'USAGE')
  AND (%(schema)s::text IS NULL OR n.nspname = %(schema)s)
  AND (%(search)s::text IS NULL OR strpos(lower(c.relname), lower(%(search)s)) > 0)
ORDER BY n.nspname, c.relname LIMIT %(limit)s OFFSET %(offset)s
"""
_PG_COLUMNS = """
SELECT a.attrelid::bigint, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       NOT a.attnotnull
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
_PG_KEYS = """
SELECT i.indrelid::bigint, a.attname
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, position)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indisprimary AND i.indrelid = ANY(%s::oid[])
ORDER BY i.indrelid, k.position
"""
_PG_KINDS = {
    "r": "table",
    "p": "table",
    "v": "view",
    "m": "materialized_view",
    "f": "foreign_table",
}

_DUCK_TABLES = """
SELECT schema_name, name, kind, rows FROM (
    SELECT schema_name, table_name AS name, 'table' AS kind, estimated_size AS rows
    FROM duckdb_tables() WHERE NOT internal AND database_name = current_database()
    UNION ALL
    SELECT schema_name, view_name, 'view', NULL
    FROM duckdb_views() WHERE NOT internal AND database_name = current_database()
)
WHERE ($1 IS NULL OR schema_name = $1) AND ($2 IS NULL OR contains(lower(name), lower($2)))
ORDER BY schema_name, name LIMIT $3 OFFSET $4
"""
_DUCK_SCHEMAS = """
SELECT schema_name FROM duckdb_schemas()
WHERE NOT internal AND database_name = current_database() OR
      schema_name = 'main' AND database_name = current_database()
ORDER BY schema_name
"""
_DUCK_COLUMNS = """
SELECT schema_name, table_name, column_name, data_type, is_nullable FROM duckdb_columns()
WHERE database_name = current_database() AND NOT internal
ORDER BY schema_name, table_name, column_index
"""
_DUCK_KEYS = """
SELECT schema_name, table_name, constraint_column_names FROM duckdb_constraints()
WHERE constraint_type = 'PRIMARY KEY' AND database_name = current_database()
"""


def introspect(action: IntrospectAction, folder: Path) -> IntrospectionResult:
    """One page of what the connection has, by schema and name."""
    match action.connection.kind:
        case "postgres":
            return _postgres(action)
        case "duckdb":
            return _duckdb(action, folder)
        case "files":
            return _files(action, folder)
        case "rest_api":
            return _endpoints(action)
    raise TerminalStepError(
        f"A connection of kind {action.connection.kind!r} cannot be looked into.",
        code="introspection_not_supported",
    )


def _postgres(action: IntrospectAction) -> IntrospectionResult:
    with PostgresReader(action.connection) as reader:
        schemas = tuple(row[0] for row in reader.ask(_PG_SCHEMAS))
        found = reader.ask(
            _PG_TABLES,
            {
                "schema": action.schema_name,
                "search": action.search,
                "limit": action.limit + 1,
                "offset": action.offset,
            },
        )
        page = found[: action.limit]
        oids = [row[0] for row in page]
        columns: dict[int, list[ColumnInfo]] = {}
        for oid, name, kind, nullable in reader.ask(_PG_COLUMNS, [oids]):
            info = ColumnInfo(name=name, data_type=kind, nullable=nullable)
            columns.setdefault(oid, []).append(info)
        keys: dict[int, list[str]] = {}
        for oid, name in reader.ask(_PG_KEYS, [oids]):
            keys.setdefault(oid, []).append(name)
    tables = tuple(
        TableInfo(
            schema_name=schema,
            name=name,
            kind=_PG_KINDS[kind],
            columns=tuple(columns.get(oid, ())),
            primary_key=tuple(keys.get(oid, ())),
            # PostgreSQL says -1 for a table that was never analysed.
            row_estimate=rows if kind in "rpm" and rows >= 0 else None,
            bytes=size,
        )
        for oid, schema, name, kind, rows, size in page
    )
    return _page(action, schemas, tables, len(found))


def _duckdb(action: IntrospectAction, folder: Path) -> IntrospectionResult:
    with DuckdbReader(action.connection, folder) as reader:
        schemas = tuple(row[0] for row in reader.ask(_DUCK_SCHEMAS))
        found = reader.ask(
            _DUCK_TABLES,
            [action.schema_name, action.search, action.limit + 1, action.offset],
        )
        columns: dict[tuple[str, str], list[ColumnInfo]] = {}
        for schema, table, name, kind, nullable in reader.ask(_DUCK_COLUMNS):
            info = ColumnInfo(name=name, data_type=kind, nullable=nullable)
            columns.setdefault((schema, table), []).append(info)
        keys = {(schema, table): tuple(names) for schema, table, names in reader.ask(_DUCK_KEYS)}
    tables = tuple(
        TableInfo(
            schema_name=schema,
            name=name,
            kind=kind,
            columns=tuple(columns.get((schema, name), ())),
            primary_key=keys.get((schema, name), ()),
            row_estimate=rows,
        )
        for schema, name, kind, rows in found[: action.limit]
    )
    return _page(action, schemas, tables, len(found))


def _files(action: IntrospectAction, folder: Path) -> IntrospectionResult:
    names = [name for name in _file_names(action.connection) if _wanted(action, name)]
    found = names[action.offset : action.offset + action.limit + 1]
    config = FILES.parse(action.connection)
    tables = tuple(
        describe_file(action.connection, config, name, folder) for name in found[: action.limit]
    )
    return _page(action, (), tables, len(found))


def _file_names(connection: ResolvedConnection) -> Sequence[str]:
    """Relative paths of the uploaded files; links that lead elsewhere are left out."""
    top = inside(connection, FOLDER)
    return sorted(
        str(path.relative_to(top))
        for path in top.rglob("*")
        if path.is_file() and path.resolve().is_relative_to(top.resolve())
    )


def _endpoints(action: IntrospectAction) -> IntrospectionResult:
    endpoints = [
        endpoint
        for endpoint in REST_API.parse(action.connection).endpoints
        if _wanted(action, endpoint.name)
    ]
    found = endpoints[action.offset : action.offset + action.limit + 1]
    tables = tuple(
        TableInfo(
            schema_name=None,
            name=endpoint.name,
            kind="endpoint",
            primary_key=tuple(endpoint.primary_key),
        )
        for endpoint in found[: action.limit]
    )
    return _page(action, (), tables, len(found))


def _wanted(action: IntrospectAction, name: str) -> bool:
    return action.search is None or action.search.lower() in name.lower()


def _page(
    action: IntrospectAction, schemas: Sequence[str], tables: tuple[TableInfo, ...], found: int
) -> IntrospectionResult:
    more = found > action.limit
    return IntrospectionResult(
        schemas=tuple(schemas),
        tables=tables,
        next_offset=action.offset + action.limit if more else None,
    )

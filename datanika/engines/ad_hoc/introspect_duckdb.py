"""What a DuckDB file has."""

from __future__ import annotations

from pathlib import Path

from datanika.contracts.ad_hoc import IntrospectAction, IntrospectionResult, TableInfo
from datanika.contracts.events import ColumnInfo
from datanika.engines.ad_hoc.pages import page_of
from datanika.engines.ad_hoc.read_only import DuckdbReader

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


def introspect_duckdb(action: IntrospectAction, folder: Path) -> IntrospectionResult:
    """One page of it, by schema and name."""
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
    return page_of(action, schemas, tables, len(found))

"""What a PostgreSQL database has, from its catalog."""

from __future__ import annotations

from datanika.contracts.ad_hoc import IntrospectAction, IntrospectionResult, TableInfo
from datanika.contracts.events import ColumnInfo
from datanika.engines.ad_hoc.pages import page_of
from datanika.engines.ad_hoc.read_only import PostgresReader

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


def introspect_postgres(action: IntrospectAction) -> IntrospectionResult:
    """One page of it, by schema and name."""
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
    return page_of(action, schemas, tables, len(found))

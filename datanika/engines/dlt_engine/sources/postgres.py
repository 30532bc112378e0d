"""A PostgreSQL table through ADBC: binary COPY into arrow, after casts that keep every value.

ADBC alone loses or refuses some types (loading.md's table of wrong values), so the SELECT is
written from the catalog: what arrow holds exactly travels as it is, everything else as its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.shape import ContractMode, OnBadRow
from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.postgres import locate
from datanika.engines.dlt_engine.destination import postgres_uri
from datanika.engines.dlt_engine.direct.marks import MARK, mark_of
from datanika.engines.dlt_engine.shape.postgres import PostgresShape
from datanika.engines.dlt_engine.shape.privacy import Privacy
from datanika.engines.dlt_engine.sources.base import SourceTable, choose_columns
from datanika.engines.warehouse import WriterId
from datanika.engines.warehouse.base import Table, qualified, quoted
from datanika.engines.warehouse.postgres import connect, watch_options
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa

_EXACT = frozenset(
    ["bool", "int2", "int4", "int8", "float8", "text", "varchar", "date", "timestamp",
     "timestamptz", "bytea", "time"]
)  # fmt: skip

_COLUMNS = """
WITH RECURSIVE base AS (
    SELECT a.attnum, a.attname, a.atttypid AS type_id, a.atttypmod AS modifier, true AS plain
    FROM pg_attribute a
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT b.attnum, b.attname, t.typbasetype, t.typtypmod, false
    FROM base b JOIN pg_type t ON t.oid = b.type_id WHERE t.typtype = 'd'
)
SELECT b.attname, t.typname, t.typtype, t.typcategory, b.modifier, b.plain,
    format_type(b.type_id, b.modifier)
FROM base b JOIN pg_type t ON t.oid = b.type_id
WHERE t.typtype <> 'd' ORDER BY b.attnum
"""


@dataclass(frozen=True)
class PostgresColumn:
    """``expression``: what is selected; ``decimal``: (precision, scale) of what then is a
    text, ``declared`` if the column has them itself; ``plain``: its type is no domain."""

    name: str
    type: str
    expression: str
    decimal: tuple[int, int] | None = None
    is_json: bool = False
    declared: bool = False
    plain: bool = True
    native: str = "text"
    """What format_type says of it, or of its domain's base type."""


def open_postgres(
    connection: ResolvedConnection,
    table: TableSpec,
    schema: str | None,
    writer: WriterId,
    privacy: Privacy,
) -> SourceTable:
    """``table.name`` is a table or view of ``schema``; else ``schema.table``, or of ``public``."""
    import pyarrow as pa

    target = locate(connection)
    name = split_name(table.name, schema)
    catalog = connect(target, writer.application_name)
    try:
        with catalog.cursor() as cursor:
            columns, condition = find_columns(cursor, name, table, privacy)
        options = watch_options(catalog)
    finally:
        catalog.close()
    mark = None
    appends = table.cursor is not None and table.write_disposition is WriteDisposition.APPEND
    # A mark is made of all values and is kept: those that are to be hidden must not be among them.
    if appends and not privacy.columns:
        mark = MARK
        expression = f"{mark_of(columns)} AS {quoted(MARK)}"
        columns = {**columns, MARK: PostgresColumn(MARK, "text", expression)}
    select = f"SELECT {', '.join(c.expression for c in columns.values())} FROM {qualified(name)}"
    uri = postgres_uri(target, writer.application_name, options)
    schema_ = _arrow_schema(uri, select, columns)

    def read(start: str | None, end: str | None = None) -> Iterator[pa.Table]:
        where = f" WHERE {condition}" if condition else ""
        if start is not None and table.cursor is not None:
            column = columns[table.cursor.column]
            inside = f"{quoted(column.name)} >= {_literal(start, column)}"
            if end is not None:
                inside += f" AND {quoted(column.name)} <= {_literal(end, column)}"
            inside = f"({inside} OR {quoted(column.name)} IS NULL)"
            where = f"{where} AND {inside}" if where else f" WHERE {inside}"
        for batch in _batches(uri, select + where):
            yield _typed(pa.Table.from_batches([batch]), columns, keeps=_keeps_text(table))

    notes = tuple(
        f"{c.name}: {c.type} is loaded as text."
        for c in columns.values()
        if c.expression.endswith("/* text */")
    )
    return SourceTable(
        schema=schema_,
        read=read,
        json_columns=frozenset(c.name for c in columns.values() if c.is_json),
        notes=notes,
        is_filtered=True,
        is_hidden=True,
        native={c.name: c.native for c in columns.values()},
        mark=mark,
    )


def _found(column: PostgresColumn, plain: bool, native: str) -> PostgresColumn:
    return replace(column, plain=plain, native=native)


def _literal(value: str, column: PostgresColumn) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"CAST(E'{escaped}' AS {column.type})"


def split_name(name: str, schema: str | None) -> Table:
    """(schema, table) of a table's ``name``."""
    if schema is not None:
        return schema, name
    before, dot, after = name.partition(".")
    return (before, after) if dot else ("public", name)


def find_columns(
    cursor: Any, name: Table, table: TableSpec, privacy: Privacy, *, measures: bool = True
) -> tuple[dict[str, PostgresColumn], str]:
    """The columns to read, and the condition that rows have to meet. A numeric without bounds is a
    text, unless its values are measured, which reads the table."""
    cursor.execute(
        "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        name,
    )
    found = cursor.fetchone()
    if found is None:
        raise TerminalStepError(
            f"The source has no table {'.'.join(name)!r}.",
            code="table_missing",
            hint="Check its name and schema, and that the user may see it.",
        )
    cursor.execute(_COLUMNS, [found[0]])
    rows = {row[0]: row[1:] for row in cursor.fetchall()}
    chosen = choose_columns(
        list(rows), table.columns, table.cursor.column if table.cursor else None, table.name
    )
    shape = PostgresShape(cursor, found[0], table, privacy)
    return {
        column: _found(
            PostgresColumn(column, "text", f"{hidden} AS {quoted(column)}"),
            False,
            rows[column][-1],
        )
        if (hidden := shape.hidden(column)) is not None
        else _found(
            _travel(cursor if measures else None, name, column, *rows[column][:-2]),
            *rows[column][-2:],
        )
        for column in chosen
    }, shape.condition()


def _travel(
    cursor: Any, table: Table, name: str, kind: str, typtype: str, category: str, modifier: int
) -> PostgresColumn:
    column = quoted(name)
    alias = f"AS {column}"
    if kind in _EXACT:
        return PostgresColumn(name, kind, f"{column} {alias}")
    if kind == "float4":
        # By its text, or 0.1 arrives as 0.10000000149.
        return PostgresColumn(name, kind, f"CAST(CAST({column} AS text) AS float8) {alias}")
    if kind == "oid":
        return PostgresColumn(name, kind, f"CAST({column} AS int8) {alias}")
    if kind in ("json", "jsonb"):
        return PostgresColumn(name, kind, f"CAST({column} AS text) {alias}", is_json=True)
    if category == "A" or typtype == "c":
        return PostgresColumn(name, kind, f"CAST(to_json({column}) AS text) {alias}", is_json=True)
    if kind == "numeric":
        declared = _declared(modifier)
        size = declared or (_measured(cursor, table, column) if cursor is not None else None)
        if size is not None:
            text = f"CAST({column} AS text) {alias}"
            return PostgresColumn(name, kind, text, decimal=size, declared=declared is not None)
    return PostgresColumn(name, kind, f"CAST({column} AS text) {alias} /* text */")


def _declared(modifier: int) -> tuple[int, int] | None:
    """(precision, scale) of a numeric, if it was declared with one that arrow has too."""
    if modifier < 4:
        return None
    precision = ((modifier - 4) >> 16) & 0xFFFF
    scale = ((modifier - 4) & 0x7FF ^ 1024) - 1024
    return (precision, scale) if precision <= 38 and 0 <= scale <= precision else None


def _measured(cursor: Any, table: Table, column: str) -> tuple[int, int] | None:
    """(38, scale) that holds every value of an unbounded numeric; None when none does."""
    cursor.execute(
        f"SELECT coalesce(max(scale({column})), 0), "
        f"coalesce(max(length(trunc(abs({column}))::text)), 1), "
        f"bool_or({column} IN ('NaN', 'Infinity', '-Infinity')) FROM {qualified(table)}"
    )
    fraction, whole, special = cursor.fetchone()
    scale = max(9, int(fraction))
    return None if special or int(whole) + scale > 38 else (38, scale)


def _arrow_schema(uri: str, select: str, columns: dict[str, PostgresColumn]) -> pa.Schema:
    import pyarrow as pa

    with _cursor(uri) as cursor:
        cursor.execute(f"{select} LIMIT 0")
        schema = cursor.fetch_record_batch().schema
    fields = []
    for field in schema:
        size = columns[field.name].decimal
        fields.append(pa.field(field.name, pa.decimal128(*size) if size else field.type))
    return pa.schema(fields)


def _keeps_text(table: TableSpec) -> bool:
    """Whether a numeric that does not fit is for others to judge, one value at a time."""
    return (
        table.on_bad_row is OnBadRow.QUARANTINE
        or table.schema_contract.data_types is not ContractMode.EVOLVE
    )


def _typed(batch: pa.Table, columns: dict[str, PostgresColumn], *, keeps: bool = False) -> pa.Table:
    import pyarrow as pa

    for position, name in enumerate(batch.column_names):
        size = columns[name].decimal
        if size is None:
            continue
        try:
            values = batch.column(name).cast(pa.decimal128(*size))
        except pa.ArrowException:
            if keeps:
                continue
            raise TerminalStepError(
                f"Column {name!r} holds NaN, infinity or more digits than numeric{size} has.",
                code="value_out_of_range",
                hint="Replace these values in the source, or leave the column out.",
            ) from None
        batch = batch.set_column(position, name, values)
    return batch


def _batches(uri: str, select: str) -> Iterator[pa.RecordBatch]:
    with _cursor(uri) as cursor:
        cursor.execute(select)
        yield from cursor.fetch_record_batch()


def _cursor(uri: str) -> Any:
    from contextlib import ExitStack, contextmanager

    from adbc_driver_postgresql import dbapi

    @contextmanager
    def opened() -> Iterator[Any]:
        with ExitStack() as stack:
            connection = stack.enter_context(dbapi.connect(uri))
            yield stack.enter_context(connection.cursor())

    return opened()

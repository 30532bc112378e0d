"""A table behind a DB-API driver: rows of Python values to arrow, exactly or not at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from datanika.engines.connectors.base import Reading
from datanika.engines.dlt_engine.sources.base import SourceTable, choose_columns
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa

    from datanika.engines.connectors.sql import CatalogColumn, SqlConnector

ROWS = 10_000


@dataclass(frozen=True)
class Travel:
    """How a column is read. ``{column}`` in ``expression`` is its quoted name."""

    type: pa.DataType
    expression: str = "{column}"
    convert: Callable[[Any], Any] | None = None
    is_json: bool = False
    note: str | None = None
    """What becomes of it, where that is not the same type."""


Decide = Callable[
    ["SqlConnector[Any]", Any, tuple[str, str], Sequence["CatalogColumn"], frozenset[str]],
    Mapping[str, Travel],
]
"""(connector, cursor, table, columns, names that are text already) -> how each is read."""


def open_sql_table(
    connector: SqlConnector[Any], reading: Reading, decide: Decide | None = None
) -> SourceTable:
    """``decide`` looks at the values; else the declared types say how columns are read.

    Raises :class:`TerminalStepError` ``table_missing``, ``column_missing``.
    """
    import pyarrow as pa

    schema, name = connector.place(reading)
    table = reading.table
    config = connector.parse(reading.connection)
    with (
        connector.explained(),
        connector.connect(reading.connection) as opened,
        closing(opened.cursor()) as cursor,
    ):
        found = {column.name: column for column in connector.columns(cursor, schema, name)}
        if not found:
            raise TerminalStepError(
                f"The source has no table {schema + '.' + name!r}.",
                code="table_missing",
                hint="Check its name and schema, and that the user may see it.",
            )
        by = table.cursor.column if table.cursor else None
        names = choose_columns(list(found), table.columns, by, table.name)
        chosen = [found[column] for column in names]
        if decide is None:
            travels = {column.name: connector.travel(column, config) for column in chosen}
        else:
            text = frozenset(n for n in names if reading.normalize(n) in reading.as_text)
            travels = dict(decide(connector, cursor, (schema, name), chosen, text))
    selected = ", ".join(
        f"{travel.expression.format(column=connector.quoted(column))} AS {connector.quoted(column)}"
        for column, travel in travels.items()
    )
    select = f"SELECT {selected} FROM {connector.qualified(schema, name)}"

    def read(start: str | None, end: str | None = None) -> Iterator[pa.Table]:
        where, parameters = "", []
        if by is not None and start is not None:
            column, mark = connector.quoted(by), connector.placeholder
            where = f"{column} >= {mark}"
            parameters.append(bound(start, travels[by].type))
            if end is not None:
                where += f" AND {column} <= {mark}"
                parameters.append(bound(end, travels[by].type))
            where = f" WHERE ({where} OR {column} IS NULL)"
        with (
            connector.explained(),
            connector.connect(reading.connection) as source,
            closing(connector.stream(source)) as rows,
        ):
            connector.run(rows, select, where, parameters)
            while batch := rows.fetchmany(ROWS):
                yield to_table(batch, travels)

    return SourceTable(
        schema=pa.schema([pa.field(column, travel.type) for column, travel in travels.items()]),
        read=read,
        json_columns=frozenset(c for c, travel in travels.items() if travel.is_json),
        notes=tuple(f"{c}: {travel.note}" for c, travel in travels.items() if travel.note),
    )


def to_table(rows: Sequence[Sequence[Any]], travels: dict[str, Travel]) -> pa.Table:
    """Raises :class:`TerminalStepError` ``value_out_of_range`` that names the column."""
    import pyarrow as pa

    columns = zip(*rows, strict=True)
    arrays = [
        _array(name, values, travel)
        for (name, travel), values in zip(travels.items(), columns, strict=True)
    ]
    fields = [pa.field(name, travel.type) for name, travel in travels.items()]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _array(name: str, values: Sequence[Any], travel: Travel) -> pa.Array:
    import pyarrow as pa

    try:
        given: Sequence[Any] = values
        if travel.convert is not None:
            given = [None if value is None else travel.convert(value) for value in values]
        if _is_text(given) and not pa.types.is_string(travel.type):
            return pa.array(given, pa.string()).cast(travel.type)
        return pa.array(given, travel.type)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, InvalidOperation) as error:
        raise TerminalStepError(
            f"Column {name!r} holds a value that is no {travel.type} "
            f"({str(error).splitlines()[0]}).",
            code="value_out_of_range",
            hint="Correct these values in the source, or leave the column out.",
        ) from None


def _is_text(values: Sequence[Any]) -> bool:
    return isinstance(next((value for value in values if value is not None), None), str)


def bound(text: str, kind: pa.DataType) -> Any:
    """A cursor's value as the parameter of a comparison with a column of ``kind``."""
    import pyarrow as pa

    if pa.types.is_integer(kind):
        return int(text)
    if pa.types.is_decimal(kind):
        return Decimal(text)
    if pa.types.is_floating(kind):
        return float(text)
    if pa.types.is_date(kind):
        return dt.date.fromisoformat(text[:10])
    if pa.types.is_timestamp(kind):
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        return moment
    return text

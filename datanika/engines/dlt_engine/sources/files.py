"""Files through DuckDB: Parquet, CSV and JSON lines by glob, with one type for all files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datanika.contracts.spec import TableSpec
from datanika.engines.connectors.base import Reading
from datanika.engines.connectors.files import FILES, FilesConfig, find_files
from datanika.engines.dlt_engine.names import check_columns
from datanika.engines.dlt_engine.shape.duckdb import DuckdbShape
from datanika.engines.dlt_engine.shape.json_numbers import check_numbers
from datanika.engines.dlt_engine.shape.screen import MAX_ROW, Screen
from datanika.engines.dlt_engine.sources.base import (
    BATCH_ROWS,
    CsvCheck,
    RawCsv,
    SourceTable,
    choose_columns,
)
from datanika.engines.dlt_engine.sources.csv_types import (
    FIRST_ROWS,
    checked_csv_types,
    missed,
    plain_rows,
    propose_by,
)
from datanika.engines.dlt_engine.sources.json_lines import is_nested, read_json_lines
from datanika.engines.warehouse.base import literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa

# What arrow or a destination cannot hold as it is.
_CASTS = {
    "HUGEINT": "DECIMAL(38,0)",
    "UHUGEINT": "VARCHAR",
    "UBIGINT": "DECIMAL(20,0)",
    "UUID": "VARCHAR",
    "INTERVAL": "VARCHAR",
    "BIT": "VARCHAR",
    "TIME WITH TIME ZONE": "VARCHAR",
}


def open_files(reading: Reading) -> SourceTable:
    """The files of the upload folder that the table's name means."""
    from datanika.engines.dlt_engine.sources.excel import split_sheet

    config = FILES.parse(reading.connection)
    name, sheet = reading.table.name, None
    if config.format == "excel":
        name, sheet = split_sheet(name)
    return open_paths(config, find_files(reading.connection, name), reading, sheet)


def open_paths(
    config: FilesConfig, paths: list[Path], reading: Reading, sheet: str | None = None
) -> SourceTable:
    """``paths`` as one table. ``sheet`` is a workbook's; without one it is the first.

    A CSV's values are not interpreted in columns that the destination holds as text.
    """
    if config.format == "excel":
        from datanika.engines.dlt_engine.sources.excel import open_excel

        return open_excel(paths, sheet, reading)
    table, normalize, as_text = reading.table, reading.normalize, reading.as_text
    privacy, screen = reading.privacy, reading.screen()
    database = _open(reading.folder)
    if screen is not None and config.format == "jsonl":
        paths = screen.jsonl(paths)

    def is_text(name: str) -> bool:
        return normalize(name) in as_text or name in privacy.columns

    types: dict[str, str]
    if config.format == "jsonl":
        source, types = read_json_lines(database, paths, is_text)
    else:
        source = _reader(config, paths) if screen is None else _screened(config, paths, screen)
        present = database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        types = {str(row[0]): str(row[1]) for row in present}
    if screen is not None:
        # DuckDB takes names that differ by case only for the same.
        check_columns(screen.names, normalize, table.name)
    if config.format == "csv":
        one = len(paths) == 1 and screen is None
        names = _header(paths[0], config.delimiter) if one else list(types)
        if len(names) == len(types):
            # DuckDB renames columns that differ by case only; say so instead.
            check_columns(names, normalize, table.name)
        types = checked_csv_types(database, source, list(types), set(filter(is_text, types)))
    elif config.format == "jsonl":
        check_numbers(database, paths, types)
    cursor = table.cursor.column if table.cursor else None
    chosen = choose_columns(list(types), table.columns, cursor, table.name)
    json_columns = frozenset(name for name in chosen if is_nested(types[name]))
    shape = DuckdbShape(database, types, table, privacy)
    projection = ", ".join(
        f"{hidden} AS {quoted(name)}"
        if (hidden := shape.hidden(name)) is not None
        else _select(name, types[name])
        for name in chosen
    )
    condition = shape.condition()
    select = f"SELECT {projection} FROM {source}"
    schema = database.execute(f"{select} LIMIT 0").to_arrow_table().schema

    def read(start: str | None, end: str | None = None) -> Iterator[pa.Table]:
        import pyarrow as pa

        where = f" WHERE {condition}" if condition else ""
        if start is not None and cursor is not None:
            column, kind = quoted(cursor), types[cursor]
            inside = f"CAST({column} AS {kind}) >= {_literal(start, kind)}"
            if end is not None:
                inside += f" AND CAST({column} AS {kind}) <= {_literal(end, kind)}"
            inside = f"({inside} OR {column} IS NULL)"
            where = f"{where} AND {inside}" if where else f" WHERE {inside}"
        reader = database.execute(select + where).to_arrow_reader(table.batch_rows or BATCH_ROWS)
        try:
            for batch in reader:
                yield pa.Table.from_batches([batch])
        finally:
            reader.close()
            database.close()

    return SourceTable(
        schema=schema,
        read=read,
        json_columns=json_columns,
        is_filtered=True,
        is_hidden=True,
        native={name: types[name] for name in chosen},
    )


def raw_csv(reading: Reading) -> RawCsv | None:
    """The CSV files of the table for a reader of bytes, if that sees in them what DuckDB does."""
    table, normalize = reading.table, reading.normalize
    config = FILES.parse(reading.connection)
    paths = find_files(reading.connection, table.name)
    names = _header(paths[0], config.delimiter)
    if not _is_raw(config, paths, table, names):
        return None
    check_columns(names, normalize, table.name)
    database = _open(reading.folder)
    source = _reader(config, paths)
    found = database.execute(f"FROM {source} LIMIT {FIRST_ROWS}")
    if [str(one[0]) for one in found.description] != names:
        return None
    text = {name for name in names if normalize(name) in reading.as_text}
    types = propose_by(database, source, names, text, found.fetchall())

    def check() -> CsvCheck:
        plain = plain_rows(database, paths, config.delimiter, types)
        if plain is not None:
            return CsvCheck(plain, (), None)
        bad, rows, has_quotes = missed(database, source, types)
        texts = [name for name in types if types[name] == "VARCHAR"]
        if not has_quotes or not texts:
            return CsvCheck(rows, tuple(bad), None)
        sums = ", ".join(f"coalesce(sum(strlen({quoted(name)})), 0)" for name in texts)
        [lengths] = database.execute(f"SELECT {sums} FROM {source}").fetchall()
        return CsvCheck(rows, tuple(bad), dict(zip(texts, map(int, lengths), strict=True)))

    return RawCsv(tuple(paths), config.delimiter, types, check)


def _open(folder: Path) -> Any:
    import duckdb

    database = duckdb.connect(
        ":memory:",
        config={
            "temp_directory": str(folder / "duckdb"),
            "autoinstall_known_extensions": "false",
        },
    )
    database.execute("SET TimeZone = 'UTC'")
    return database


def _is_raw(config: FilesConfig, paths: list[Path], table: TableSpec, names: list[str]) -> bool:
    """Whether a server's own CSV reader sees in the files what DuckDB does: none is compressed,
    all have one header, and every row is wanted."""
    plain = all(path.suffix in (".csv", ".txt", ".tsv") for path in paths)
    if not plain or table.cursor is not None or table.columns or len(config.delimiter) != 1:
        return False
    if len(names) == 1:
        # Empty lines: rows for the one reader, nothing for the other.
        return False
    return all(_header(path, config.delimiter) == names for path in paths)


def _literal(value: str, kind: str) -> str:
    return f"CAST({literal(value)} AS {kind})"


def _reader(config: FilesConfig, paths: list[Path]) -> str:
    files = "[" + ", ".join(literal(str(path)) for path in paths) + "]"
    if config.format == "parquet":
        return f"read_parquet({files}, union_by_name=true)"
    # An empty field is NULL; a quoted empty field is an empty string. Without `skip` DuckDB takes
    # another line for the header when the first one does not have as many fields as the rest.
    return (
        f"read_csv({files}, delim={literal(config.delimiter)}, header=true, all_varchar=true, "
        "nullstr='', allow_quoted_nulls=false, quote='\"', escape='\"', union_by_name=true, "
        "skip=0)"
    )


def _screened(config: FilesConfig, paths: list[Path], screen: Screen) -> str:
    """Reads what ``screen`` lets through."""
    if config.format == "parquet":
        return _reader(config, paths)
    delimiter = literal(config.delimiter)
    parts = []
    for path, names in screen.csv(paths, config.delimiter):
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        parts.append(
            f"SELECT * FROM read_csv({literal(str(path))}, delim={delimiter}, header=false, "
            f"auto_detect=false, columns={{{columns}}}, nullstr='', allow_quoted_nulls=false, "
            f"quote='\"', escape='\"', max_line_size={2 * MAX_ROW})"
        )
    return f"({' UNION ALL BY NAME '.join(parts)})"


def _header(path: Path, delimiter: str) -> list[str]:
    if path.suffix not in (".csv", ".txt", ".tsv"):
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file, delimiter=delimiter), [])


def _select(name: str, kind: str) -> str:
    column = quoted(name)
    if kind == "JSON":
        return f"CAST({column} AS VARCHAR) AS {column}"
    if is_nested(kind):
        return f"CAST(to_json({column}) AS VARCHAR) AS {column}"
    target = _CASTS.get(kind, "VARCHAR" if kind.startswith("ENUM") else kind)
    if kind == "NULL" or kind == '"NULL"':
        return f"{column} AS {column}"
    if target == "VARCHAR":
        return f"CAST({column} AS VARCHAR) AS {column}"
    # A quoted empty field of a CSV is no number: it is NULL in a typed column.
    return f"CAST({column} AS {target}) AS {column}"

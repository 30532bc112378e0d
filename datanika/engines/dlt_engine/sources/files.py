"""Files through DuckDB: Parquet, CSV and JSON lines by glob, with one type for all files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.files import FILES, FilesConfig, find_files
from datanika.engines.dlt_engine.sources.base import (
    BATCH_ROWS,
    CsvCheck,
    RawCsv,
    SourceTable,
    choose_columns,
)
from datanika.engines.dlt_engine.sources.csv_types import (
    checked_csv_types,
    missed,
    propose_csv_types,
)
from datanika.engines.warehouse.base import quoted

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
_NESTED = ("STRUCT", "MAP", "UNION", "JSON")


def open_files(
    connection: ResolvedConnection,
    table: TableSpec,
    as_text: frozenset[str],
    normalize: Any,
    folder: Path,
) -> SourceTable:
    """The files that ``table.name`` names.

    ``as_text``: normalised names of columns that the destination holds as text, so a CSV's values
    are not interpreted. ``folder``: where DuckDB may spill.
    """
    config = FILES.parse(connection)
    paths = find_files(connection, table.name)
    database = _open(folder)
    source = _reader(config, paths)
    present = database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    types = {str(row[0]): str(row[1]) for row in present}
    if config.format == "csv":
        names = _header(paths[0], config.delimiter) if len(paths) == 1 else list(types)
        if len(names) == len(types):
            # DuckDB renames columns that differ by case only; say so instead.
            from datanika.engines.dlt_engine.names import check_columns

            check_columns(names, normalize, table.name)
        text = {name for name in types if normalize(name) in as_text}
        types = checked_csv_types(database, source, list(types), text)
    cursor = table.cursor.column if table.cursor else None
    chosen = choose_columns(list(types), table.columns, cursor, table.name)
    json_columns = frozenset(name for name in chosen if _is_nested(types[name]))
    projection = ", ".join(_select(name, types[name]) for name in chosen)
    select = f"SELECT {projection} FROM {source}"
    schema = database.execute(f"{select} LIMIT 0").to_arrow_table().schema

    def read(start: str | None, end: str | None = None) -> Iterator[pa.Table]:
        import pyarrow as pa

        where = ""
        if start is not None and cursor is not None:
            column, kind = quoted(cursor), types[cursor]
            inside = f"CAST({column} AS {kind}) >= {_literal(start, kind)}"
            if end is not None:
                inside += f" AND CAST({column} AS {kind}) <= {_literal(end, kind)}"
            where = f" WHERE ({inside} OR {column} IS NULL)"
        reader = database.execute(select + where).to_arrow_reader(BATCH_ROWS)
        try:
            for batch in reader:
                yield pa.Table.from_batches([batch])
        finally:
            reader.close()
            database.close()

    return SourceTable(schema=schema, read=read, json_columns=json_columns)


def raw_csv(
    connection: ResolvedConnection,
    table: TableSpec,
    as_text: frozenset[str],
    normalize: Any,
    folder: Path,
) -> RawCsv | None:
    """The CSV files of ``table`` for a reader of bytes, if that sees in them what DuckDB does; the
    arguments are those of :func:`open_files`."""
    config = FILES.parse(connection)
    paths = find_files(connection, table.name)
    names = _header(paths[0], config.delimiter)
    if not _is_raw(config, paths, table, names):
        return None
    from datanika.engines.dlt_engine.names import check_columns

    check_columns(names, normalize, table.name)
    database = _open(folder)
    source = _reader(config, paths)
    present = [str(row[0]) for row in database.execute(f"DESCRIBE FROM {source}").fetchall()]
    if present != names:
        return None
    text = {name for name in names if normalize(name) in as_text}
    types = propose_csv_types(database, source, names, text)

    def check() -> CsvCheck:
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
    escaped = value.replace("'", "''")
    return f"CAST('{escaped}' AS {kind})"


def _reader(config: FilesConfig, paths: list[Path]) -> str:
    files = "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"
    if config.format == "parquet":
        return f"read_parquet({files}, union_by_name=true)"
    if config.format == "jsonl":
        return (
            f"read_json({files}, format='newline_delimited', union_by_name=true, sample_size=-1, "
            "convert_strings_to_integers=false)"
        )
    delimiter = config.delimiter.replace("'", "''")
    # An empty field is NULL; a quoted empty field is an empty string.
    return (
        f"read_csv({files}, delim='{delimiter}', header=true, all_varchar=true, nullstr='', "
        "allow_quoted_nulls=false, quote='\"', escape='\"', union_by_name=true)"
    )


def _header(path: Path, delimiter: str) -> list[str]:
    if path.suffix not in (".csv", ".txt", ".tsv"):
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file, delimiter=delimiter), [])


def _is_nested(kind: str) -> bool:
    return kind.startswith(_NESTED) or kind.endswith("]")


def _select(name: str, kind: str) -> str:
    column = quoted(name)
    if kind == "JSON":
        return f"CAST({column} AS VARCHAR) AS {column}"
    if _is_nested(kind):
        return f"CAST(to_json({column}) AS VARCHAR) AS {column}"
    target = _CASTS.get(kind, "VARCHAR" if kind.startswith("ENUM") else kind)
    if kind == "NULL" or kind == '"NULL"':
        return f"{column} AS {column}"
    if target == "VARCHAR":
        return f"CAST({column} AS VARCHAR) AS {column}"
    # A quoted empty field of a CSV is no number: it is NULL in a typed column.
    return f"CAST({column} AS {target}) AS {column}"

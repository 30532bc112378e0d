"""A look into uploaded files through DuckDB: columns and first rows, from the first rows only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datanika.contracts.ad_hoc import PreviewAction, RowsResult, TableInfo
from datanika.contracts.events import ColumnInfo
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.cells import RowCollector
from datanika.engines.connectors.files import FILES, FOLDER, FilesConfig, find_files
from datanika.engines.connectors.paths import inside
from datanika.engines.dlt_engine.sources.base import choose_columns
from datanika.engines.dlt_engine.sources.excel import read_sheet, split_sheet
from datanika.engines.dlt_engine.sources.grid import header_of
from datanika.engines.failures import failure_of
from datanika.engines.warehouse.base import literal, quoted

SAMPLE_ROWS = 20_480


def describe_file(
    connection: ResolvedConnection, config: FilesConfig, name: str, folder: Path
) -> TableInfo:
    """A file as a table. One that cannot be read says why, and does not hide the others."""
    size, rows, problem = None, None, None
    columns: tuple[ColumnInfo, ...] = ()
    try:
        (path,) = find_files(connection, _literally(name))
        size = path.stat().st_size
        if config.format == "excel":
            cells = read_sheet(path, None)
            columns = tuple(
                ColumnInfo(name=column, data_type="cell") for column in header_of(cells, name)
            )
            return TableInfo(
                schema_name=None, name=name, kind="file", columns=columns,
                row_estimate=len(cells) - 1, bytes=size,
            )  # fmt: skip
        with _database(folder) as database:
            columns = tuple(
                ColumnInfo(name=str(row[0]), data_type=str(row[1]))
                for row in database.execute(
                    f"DESCRIBE SELECT * FROM {_reader(config, [path])}"
                ).fetchall()
            )
            if config.format == "parquet":
                [(rows,)] = database.execute(
                    f"SELECT sum(num_rows)::BIGINT FROM parquet_file_metadata({_list([path])})"
                ).fetchall()
    except Exception as error:
        problem = failure_of(error).message
    return TableInfo(
        schema_name=None,
        name=name,
        kind="file",
        columns=columns,
        row_estimate=rows,
        bytes=size,
        problem=problem,
    )


def file_names(connection: ResolvedConnection) -> list[str]:
    """Relative paths of the uploaded files; links that lead elsewhere are left out."""
    top = inside(connection, FOLDER)
    return sorted(
        str(path.relative_to(top))
        for path in top.rglob("*")
        if path.is_file() and path.resolve().is_relative_to(top.resolve())
    )


def preview_files(action: PreviewAction, folder: Path) -> RowsResult:
    """The first rows of the files that ``action.table``, a path or glob, names."""
    config = FILES.parse(action.connection)
    name, sheet = action.table, None
    if config.format == "excel":
        name, sheet = split_sheet(name)
    return preview_paths(config, find_files(action.connection, name), action, folder, sheet)


def preview_grid(cells: Sequence[Sequence[Any]], action: PreviewAction) -> RowsResult:
    """The first rows of a sheet."""
    header = header_of(cells, action.table)
    choose_columns(header, action.columns, None, action.table)
    chosen = action.columns or tuple(header)
    places = [header.index(name) for name in chosen]
    rows = RowCollector(action.limit)
    rows.add([row[p] if p < len(row) else None for p in places] for row in cells[1:])
    return rows.result((name, "cell") for name in chosen)


def preview_paths(
    config: FilesConfig, paths: list[Path], action: PreviewAction, folder: Path,
    sheet: str | None = None,
) -> RowsResult:  # fmt: skip
    """The first rows of ``paths``."""
    if config.format == "excel":
        return preview_grid(read_sheet(paths[0], sheet), action)
    source = _reader(config, paths)
    rows = RowCollector(action.limit)
    with _database(folder) as database:
        described = database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        present = {str(row[0]): str(row[1]) for row in described}
        choose_columns(list(present), action.columns, None, action.table)
        chosen = action.columns or tuple(present)
        names = ", ".join(quoted(name) for name in chosen)
        cursor = database.execute(f"SELECT {names} FROM {source} LIMIT {action.limit + 1}")
        while rows.wanted and (batch := cursor.fetchmany(min(50, rows.wanted))):
            rows.add(batch)
    return rows.result((name, present[name]) for name in chosen)


def _database(folder: Path) -> Any:
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "temp_directory": str(folder / "duckdb"),
            "autoinstall_known_extensions": "false",
            "memory_limit": "1GB",
            "threads": "2",
        },
    )


def _literally(name: str) -> str:
    """``name`` as a glob that matches nothing else."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _list(paths: list[Path]) -> str:
    return "[" + ", ".join(literal(str(path)) for path in paths) + "]"


def _reader(config: FilesConfig, paths: list[Path]) -> str:
    if config.format == "parquet":
        return f"read_parquet({_list(paths)}, union_by_name=true)"
    if config.format == "jsonl":
        return (
            f"read_json({_list(paths)}, format='newline_delimited', union_by_name=true, "
            f"sample_size={SAMPLE_ROWS}, dateformat='iso', timestampformat='iso')"
        )
    return (
        f"read_csv({_list(paths)}, delim={literal(config.delimiter)}, header=true, "
        "union_by_name=true, "
        f"quote='\"', escape='\"', sample_size={SAMPLE_ROWS})"
    )

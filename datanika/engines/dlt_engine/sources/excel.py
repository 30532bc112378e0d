"""Excel workbooks through calamine: one sheet, or the same sheet of several files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datanika.engines.connectors.base import Reading
from datanika.engines.dlt_engine.sources.base import SourceTable
from datanika.engines.dlt_engine.sources.grid import header_of, open_grid
from datanika.errors import TerminalStepError


def split_sheet(name: str) -> tuple[str, str | None]:
    """``book.xlsx#Sheet2`` -> the file and its sheet; without one it is the first."""
    path, hash_, sheet = name.partition("#")
    return path, sheet if hash_ else None


def read_sheet(path: Path, sheet: str | None) -> list[list[Any]]:
    """Every row. Raises :class:`TerminalStepError` ``file_damaged`` or ``sheet_missing``."""
    from python_calamine import CalamineError, CalamineWorkbook, WorksheetNotFound

    try:
        book = CalamineWorkbook.from_path(str(path))
        names = book.sheet_names
        if sheet is None:
            return list(book.get_sheet_by_index(0).to_python(skip_empty_area=False))
        return list(book.get_sheet_by_name(sheet).to_python(skip_empty_area=False))
    except WorksheetNotFound:
        raise TerminalStepError(
            f"{path.name!r} has no sheet {sheet!r}.",
            code="sheet_missing",
            hint=f"Its sheets: {', '.join(names)}.",
        ) from None
    except CalamineError as error:
        raise TerminalStepError(
            f"{path.name!r} is damaged, or no Excel workbook ({str(error)[:200]}).",
            code="file_damaged",
            hint="Save it again as .xlsx, and upload it.",
        ) from None


def open_excel(paths: list[Path], sheet: str | None, reading: Reading) -> SourceTable:
    """Sheets of ``paths`` below each other; all must have the first one's header."""
    whole: list[list[Any]] = []
    for path in paths:
        rows = read_sheet(path, sheet)
        if not whole:
            whole = rows
        elif header_of(rows, path.name) != header_of(whole, paths[0].name):
            raise TerminalStepError(
                f"{path.name!r} has other columns than {paths[0].name!r}.",
                code="columns_differ",
                hint="Load them into tables of their own, or give them the same first row.",
            )
        else:
            whole += rows[1:]
    return open_grid(whole, reading)

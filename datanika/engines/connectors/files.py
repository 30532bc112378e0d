"""Files in the organisation's upload folder: CSV, Parquet or JSON lines, by glob."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import Connector, ConnectorConfig, Reading
from datanika.engines.connectors.paths import inside
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import (
        IntrospectAction,
        IntrospectionResult,
        PreviewAction,
        RowsResult,
    )
    from datanika.engines.dlt_engine.sources.base import SourceTable

FOLDER = "files"


class FilesConfig(ConnectorConfig):
    format: Literal["csv", "parquet", "jsonl", "excel"] = Field(title="Format")
    delimiter: str = Field(
        default=",", title="Delimiter", description="CSV only.", min_length=1, max_length=1
    )


class FilesConnector(Connector[FilesConfig]):
    kind = "files"
    title = "Files"
    description = "CSV, Parquet, JSON-lines or Excel files that were uploaded to the platform."
    config = FilesConfig
    is_source = True
    docs = (
        "A table is a path or glob below the upload folder (`2024/*.csv`); of Excel also with a "
        "sheet (`book.xlsx#Orders`), else the first. CSV types come from every value: numbers with "
        "a fraction are decimals, not doubles, and codes with leading zeros stay text. In Excel "
        "all numbers are doubles: whole ones become integers. In JSON lines, too, numbers with a "
        "fraction are doubles; one with more digits than a double keeps is refused or put aside. "
        "There texts become dates or times where all of a column are in ISO form; objects and "
        "lists stay the JSON that they are."
    )

    def test(self, connection: ResolvedConnection) -> None:
        inside(connection, FOLDER).mkdir(parents=True, exist_ok=True)

    def introspect(self, action: IntrospectAction, folder: Path) -> IntrospectionResult:
        from datanika.engines.ad_hoc.files import describe_file, file_names
        from datanika.engines.ad_hoc.pages import page_of_names

        connection = action.connection
        config = self.parse(connection)
        return page_of_names(
            action,
            file_names(connection),
            lambda name: describe_file(connection, config, name, folder),
        )

    def preview(self, action: PreviewAction, folder: Path) -> RowsResult:
        from datanika.engines.ad_hoc.files import preview_files

        return preview_files(action, folder)

    def open_table(self, reading: Reading) -> SourceTable:
        from datanika.engines.dlt_engine.sources.files import open_files

        return open_files(reading)


FILES = FilesConnector()


def find_files(connection: ResolvedConnection, pattern: str) -> list[Path]:
    """The files that ``pattern`` names below the upload folder, sorted by path.

    Raises :class:`TerminalStepError` ``file_missing`` when there is none and ``path_outside``
    when one lies elsewhere (a link).
    """
    top = inside(connection, FOLDER)
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts or "\x00" in pattern:
        inside(connection, FOLDER, "..", pattern.lstrip("/"))
        raise TerminalStepError(
            f"{pattern!r} is not a path below the upload folder.", code="path_outside"
        )
    found = sorted(path for path in top.glob(pattern) if path.is_file())
    if not found:
        raise TerminalStepError(
            f"No file matches {pattern!r}.",
            code="file_missing",
            hint="Upload it, or correct the table's name: a path or glob below the upload folder.",
        )
    return [inside(connection, FOLDER, str(path.relative_to(top))) for path in found]

"""``datanika upload FILE…``: files for connections of the kind ``files``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def upload(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, readable=True)
    ],
    name: Annotated[
        str | None, typer.Option(help="Call it so on the platform; for one file.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="In the place of a file of this name.")
    ] = False,
) -> None:
    """Upload files: CSV, JSON lines or Parquet, also as .gz or in a .zip."""
    from datanika.cli.failure import explain_errors
    from datanika.client import DatanikaClient

    if name is not None and len(paths) > 1:
        raise typer.BadParameter("--name is for one file.")
    with explain_errors(), DatanikaClient.from_environment() as client:
        for path in paths:
            with path.open("rb") as content:
                for file in client.files.upload(name or path.name, content, replace=replace):
                    typer.echo(f"{file.name}: {file.bytes:,} bytes, {file.format}")

"""``datanika export-project --destination NAME FILE``: transformations become a dbt project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export_project(
    path: Annotated[Path, typer.Argument(help="The .zip to write.")],
    destination: Annotated[str, typer.Option(help="Name or id of the connection.")],
    name: Annotated[str, typer.Option(help="Of the project and its profile.")] = "datanika",
) -> None:
    """Export a destination's transformations as a plain dbt project."""
    from datanika.cli.failure import explain_errors
    from datanika.client import DatanikaClient

    with explain_errors(), DatanikaClient.from_environment() as client:
        found = client.connections.find(destination)
        content = b"".join(client.projects.export(found.id, name=name))
    path.write_bytes(content)
    typer.echo(f"{path}: {len(content):,} bytes")

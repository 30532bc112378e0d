"""``datanika import-project PATH --destination NAME``: a dbt project becomes transformations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datanika.contracts.api import ImportReport


def import_project(
    path: Annotated[
        Path, typer.Argument(exists=True, readable=True, help="Folder or .zip of the project.")
    ],
    destination: Annotated[str, typer.Option(help="Name or id of the connection to build in.")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Write; without it the report is all.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="In the place of what has the same name.")
    ] = False,
    accept_refused: Annotated[
        bool, typer.Option("--accept-refused", help="Take the rest without what is refused.")
    ] = False,
) -> None:
    """Import a dbt project: models, seeds, snapshots, macros, tests, and what describes them."""
    from datanika.cli.failure import explain_errors
    from datanika.client import DatanikaClient

    with explain_errors(), DatanikaClient.from_environment() as client:
        content = _zipped(path) if path.is_dir() else path.read_bytes()
        report = client.projects.import_project(
            client.connections.find(destination).id,
            content,
            dry_run=not apply,
            replace=replace,
            accept_refused=accept_refused,
        )
    _show(report)


def _show(report: ImportReport) -> None:
    for item in report.items:
        typer.echo(f"{item.action:<9} {item.kind:<9} {item.name}  ({item.path})")
    for one in report.findings:
        place = f"{one.path}:{one.line}" if one.line else one.path
        typer.echo(f"{one.level:<9} {place}: {one.message} [{one.code}]")
    if report.applied:
        typer.echo(f"{len(report.items)} transformations are imported.")
    else:
        typer.echo("Nothing was written: say --apply to import.")


def _zipped(folder: Path) -> bytes:
    """The project's own files; what a link leads to stays outside."""
    from datanika.compiler.importing.archive import decode, is_wanted, write_archive

    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        inside = folder / name
        linked = any(one.is_symlink() for one in (inside, *inside.parents) if one != folder)
        if is_wanted(name) and path.is_file() and not linked:
            files[name] = decode(path.read_bytes(), name)
    return write_archive(files)

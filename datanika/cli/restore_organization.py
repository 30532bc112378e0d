"""``datanika restore-organization ORGANIZATION``: undo a deletion, before the purge."""

from __future__ import annotations

from typing import Annotated

import typer


def restore_organization(
    organization: Annotated[str, typer.Argument(help="Id or slug of a deleted organisation.")],
) -> None:
    """Bring a deleted organisation back: its members, pipelines and schedules."""
    from datanika.cli.in_database import in_database
    from datanika.db import SYSTEM, get_session
    from datanika.services.retention import restore_organization as restore

    async def work() -> str:
        async with get_session(SYSTEM) as session:
            return (await restore(session, organization)).name

    typer.echo(f"{in_database(work)} is back.")

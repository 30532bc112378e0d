"""``datanika queue``: which runs of all organisations wait, and for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datanika.services.queue_service import QueuedRun


def queue(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show.")] = 50,
) -> None:
    """List the runs that wait, in the order in which they start, and what each waits for."""
    from datanika.cli.in_database import in_database
    from datanika.db import SYSTEM, get_session
    from datanika.services.queue_service import queued_runs

    async def work() -> list[QueuedRun]:
        async with get_session(SYSTEM) as session:
            return await queued_runs(session, limit=limit)

    runs = in_database(work)
    if not runs:
        typer.echo("No run waits.")
        return
    lines = [("ORGANIZATION", "RUN", "PIPELINE", "WAITS", "REASON", "WHY")]
    lines += [
        (one.organization, f"#{one.run_id}", one.pipeline_name, f"{one.waiting_seconds} s",
         one.reason.value, one.text)
        for one in runs
    ]  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    for *cells, why in lines:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        typer.echo("  ".join([*padded, why]).rstrip())

"""``datanika logs RUN``: a run's log lines, with ``--follow`` until it is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datanika.contracts.api import LogOut

POLL_SECONDS = 0.5


def logs(
    run_id: Annotated[int, typer.Argument(metavar="RUN", help="Id of the run.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more until the run is over.")
    ] = False,
) -> None:
    """Print the log of a run."""
    from datanika.cli.failure import explain_errors
    from datanika.client import DatanikaClient

    with explain_errors(), DatanikaClient.from_environment() as client:
        after = 0
        while True:
            # Asked before the lines, so that none is missed between the last look and the end.
            over = not follow or client.runs.get(run_id).state.is_final
            for line in client.runs.logs(run_id, after=after):
                typer.echo(format_line(line))
                after = line.id
            if over:
                return
            time.sleep(POLL_SECONDS)


def format_line(line: LogOut) -> str:
    """Local time, level where it is not info, step and message."""
    at = line.at.astimezone().strftime("%H:%M:%S")
    level = "" if line.level == "info" else f" {line.level.upper()}"
    return f"{at}{level} {line.node or line.step_key}: {line.message}"

"""``datanika logs RUN``: a run's log lines, with ``--follow`` until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datanika.contracts.api import LogOut


def logs(
    run_id: Annotated[int, typer.Argument(metavar="RUN", help="Id of the run.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more until the run is over.")
    ] = False,
) -> None:
    """Print the log of a run."""
    from datanika.cli.failure import explain_errors
    from datanika.cli.progress import board
    from datanika.client import DatanikaClient

    with explain_errors(), DatanikaClient.from_environment() as client:
        if not follow:
            for line in client.runs.logs(run_id):
                typer.echo(format_line(line))
            return
        with board() as shown:
            for event in client.runs.follow(run_id):
                if event.event == "log":
                    shown.line(format_line(event.data))
                elif event.event == "step":
                    shown.step(event.data)


def format_line(line: LogOut) -> str:
    """Local time, level where it is not info, step and message."""
    at = line.at.astimezone().strftime("%H:%M:%S")
    level = "" if line.level == "info" else f" {line.level.upper()}"
    return f"{at}{level} {line.node or line.step_key}: {line.message}"

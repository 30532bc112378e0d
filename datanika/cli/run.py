"""``datanika run PIPELINE``: trigger a run, wait for it, show its steps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datanika.client import DatanikaClient
    from datanika.contracts.api import RunOut, RunStepOut

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
"""How long the platform may be away while a run is watched."""

_MARKS = {"succeeded": "✓", "warned": "!", "failed": "✗", "skipped": "-", "cancelled": "-"}


def run(
    pipeline: Annotated[str, typer.Argument(help="Name or id of the pipeline.")],
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key never runs twice.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end and show the steps.")] = True,
) -> None:
    """Run a pipeline. Exits 0 only if the run succeeded."""
    from datanika.cli.failure import explain_errors
    from datanika.client import DatanikaClient

    with explain_errors(), DatanikaClient.from_environment() as client:
        found = client.pipelines.find(pipeline)
        started = client.pipelines.run(found.id, idempotency_key=key)
        typer.echo(f"Run {started.id} of {found.name}: {client.url}/runs/{started.id}")
        if not wait:
            return
        ended = watch(client, started.id)
    raise typer.Exit(0 if ended.state == "succeeded" else 1)


def watch(client: DatanikaClient, run_id: int) -> RunOut:
    """Print each step, table and model as it ends, until the run is over; the run."""
    from datanika.errors import Unavailable

    shown: set[tuple[str, str]] = set()
    lost_at: float | None = None
    while True:
        try:
            current = client.runs.get(run_id)
            steps = client.runs.steps(run_id)
        except Unavailable:
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > PATIENCE_SECONDS:
                raise
            time.sleep(POLL_SECONDS)
            continue
        lost_at = None
        for step in steps:
            name = (step.step_key, step.node)
            if name not in shown and step.state.value in _MARKS:
                shown.add(name)
                typer.echo(line_of(step))
        if current.state.is_final:
            typer.echo(end_of(current))
            return current
        time.sleep(POLL_SECONDS)


def line_of(step: RunStepOut) -> str:
    """One ended step or node, with its rows, its time and, where it failed, the reason."""
    indent = "    " if step.node else "  "
    facts = [f"{step.rows:,} rows"] if step.rows is not None else []
    if step.duration_seconds is not None:
        facts.append(f"{step.duration_seconds:.1f} s")
    line = f"{indent}{_MARKS[step.state.value]} {step.relation or step.name}"
    if facts:
        line += f"  ({', '.join(facts)})"
    if step.error_message:
        line += f"\n{indent}  [{step.error_code}] {step.error_message}"
        if step.error_hint:
            line += f"\n{indent}  {step.error_hint}"
    return line


def end_of(ended: RunOut) -> str:
    """How the run ended, in one line and, where it failed, the reason."""
    line = f"Run {ended.id} {ended.state.value}"
    if ended.started_at and ended.finished_at:
        line += f" after {(ended.finished_at - ended.started_at).total_seconds():.1f} s"
    if ended.rows is not None:
        line += f", {ended.rows:,} rows loaded"
    if ended.error_message:
        line += f"\n[{ended.error_code}] {ended.error_message}"
        if ended.error_hint:
            line += f"\n{ended.error_hint}"
    return line

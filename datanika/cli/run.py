"""``datanika run PIPELINE``: trigger a run, wait for it, show its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from datanika.contracts.enums import DbtCommand

if TYPE_CHECKING:
    from datanika.client import DatanikaClient
    from datanika.contracts.api import RunOut, RunStepOut

_MARKS = {"succeeded": "✓", "warned": "!", "failed": "✗", "skipped": "-", "cancelled": "-"}


def run(
    pipeline: Annotated[str, typer.Argument(help="Name or id of the pipeline.")],
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key never runs twice.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end and show the steps.")] = True,
    step: Annotated[list[str] | None, typer.Option(help="Only this step; may be repeated.")] = None,
    command: Annotated[
        DbtCommand | None, typer.Option(help="What dbt does in place of the steps' own.")
    ] = None,
    select: Annotated[
        list[str] | None, typer.Option("--select", "-s", help="dbt's selector; may be repeated.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="As --select.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=16, help="Of dbt.")] = None,
    full_refresh: Annotated[bool, typer.Option(help="Everything from its beginning.")] = False,
    fail_fast: Annotated[bool, typer.Option(help="Stop at the first node that fails.")] = False,
    store_failures: Annotated[bool, typer.Option(help="Keep rows that fail a test.")] = False,
    defer: Annotated[
        bool,
        typer.Option(help="Build into a schema of your own; read the rest from production."),
    ] = False,
) -> None:
    """Run a pipeline. Exits 0 only if the run succeeded."""
    from datanika.cli.failure import explain_errors
    from datanika.client import DatanikaClient
    from datanika.contracts.api import TriggerIn

    with explain_errors(), DatanikaClient.from_environment() as client:
        how = TriggerIn.model_validate(
            {
                "steps": step or None,
                "command": command,
                "select": select or None,
                "exclude": exclude or None,
                "threads": threads,
                "full_refresh": full_refresh,
                "fail_fast": fail_fast or None,
                "store_failures": store_failures or None,
                "defer": defer,
            }
        )
        found = client.pipelines.find(pipeline)
        started = client.pipelines.run(found.id, how=how, idempotency_key=key)
        typer.echo(f"Run {started.id} of {found.name}: {client.url}/runs/{started.id}")
        if not wait:
            return
        ended = watch(client, started.id)
    raise typer.Exit(0 if ended.state == "succeeded" else 1)


def watch(client: DatanikaClient, run_id: int) -> RunOut:
    """Print each step, table and model as it ends, until the run is over; the run."""
    from datanika.cli.progress import board

    ended: set[tuple[str, str]] = set()
    with board() as shown:
        for event in client.runs.follow(run_id):
            if event.event == "end":
                shown.line(end_of(event.data))
                return event.data
            if event.event == "step":
                step = event.data
                shown.step(step)
                name = (step.step_key, step.node)
                if name not in ended and step.state.value in _MARKS:
                    ended.add(name)
                    shown.line(line_of(step))
    raise AssertionError("A stream ends with the end of the run.")


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

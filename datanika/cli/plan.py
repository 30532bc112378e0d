"""``datanika plan PIPELINE``: what a run would do, before it does it."""

from __future__ import annotations

from typing import Annotated

import typer


def plan(
    pipeline: Annotated[str, typer.Argument(help="Name or id of the pipeline.")],
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid graph.")] = False,
) -> None:
    """Explain what a pipeline does: stages, steps, tables, models."""
    from datanika.cli.failure import explain_errors
    from datanika.client import DatanikaClient

    with explain_errors(), DatanikaClient.from_environment() as client:
        explained = client.pipelines.plan(client.pipelines.find(pipeline).id)
    typer.echo((explained.mermaid if mermaid else explained.text).rstrip("\n"))

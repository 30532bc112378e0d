"""``docs generate``: what the warehouse has, for the catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datanika.contracts.events import ColumnInfo, Failure
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.dbt_engine.invocation import (
    FLAGS,
    WITHOUT_ARTIFACTS,
    compile_failure,
    flags_of,
)
from datanika.engines.dbt_engine.nodes import NodeEvents
from datanika.engines.dbt_engine.rest import list_arguments


def document(
    step: ResolvedTransform,
    manifest: Any,
    folder: Path,
    places: list[str],
    selection: list[str],
    events: NodeEvents,
) -> Failure | None:
    """Every selected relation that is there, as dbt's catalog has it; why that failed."""
    from dbt.cli.main import dbtRunner

    (folder / "target").mkdir(exist_ok=True)
    chosen: set[str] | None = None
    if selection:
        arguments = [*FLAGS, WITHOUT_ARTIFACTS, "--quiet", "list", *places, *selection]
        listed = dbtRunner(manifest=manifest).invoke([*arguments, *list_arguments()])
        if not listed.success:
            return compile_failure(listed.exception)
        chosen = {str(json.loads(line)["unique_id"]) for line in listed.result or ()}
    # Compiling would ask for what is not selected, and nobody reads the SQL here.
    answer = dbtRunner(manifest=manifest).invoke(
        [*flags_of(step), *str(step.step.command).split(), "--no-compile", *places]
    )
    if answer.exception is not None:
        return compile_failure(answer.exception)
    found = {**answer.result.nodes, **answer.result.sources}
    for unique_id in sorted(found):
        if chosen is None or unique_id in chosen:
            columns = sorted(found[unique_id].columns.values(), key=lambda one: one.index)
            events.catalog(
                unique_id,
                tuple(ColumnInfo(name=str(c.name), data_type=str(c.type)) for c in columns),
            )
    for error in answer.result.errors or ():
        return compile_failure(RuntimeError(error))
    return None

"""A transform step: dbt in this process, its nodes as events."""

from __future__ import annotations

import os
from pathlib import Path

from datanika.contracts.enums import DbtCommand, StepState
from datanika.contracts.events import Failure, StepFinished
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.dbt_engine.blocking import find_blocked, leave_out
from datanika.engines.dbt_engine.columns import ColumnReader
from datanika.engines.dbt_engine.deferring import PRODUCTION, keep_production
from datanika.engines.dbt_engine.documenting import document
from datanika.engines.dbt_engine.invocation import (
    FLAGS,
    WITHOUT_ARTIFACTS,
    compile_failure,
    flags_of,
    prepare_dbt,
)
from datanika.engines.dbt_engine.lineage import LineageTeller, RelationColumns
from datanika.engines.dbt_engine.nodes import NodeEvents
from datanika.engines.dbt_engine.parsed import KnownParse, parse_project
from datanika.engines.dbt_engine.profile import TARGET, written_profile
from datanika.engines.dbt_engine.project_files import write_files
from datanika.engines.dbt_engine.readers import (
    CAN_BLOCK,
    Blocked,
)
from datanika.engines.dbt_engine.rest import (
    can_skip,
    list_arguments,
    rest_arguments,
    select_rest,
)
from datanika.engines.emit import Emit
from datanika.engines.failures import failure_of


def run_transform(
    step: ResolvedTransform,
    folder: Path,
    emit: Emit,
    *,
    static_parser: bool = True,
    known: KnownParse | None = None,
) -> StepFinished:
    """Build the project of ``step`` in ``folder``, which is empty and the caller's to remove.

    dbt's ``static_parser`` leaves threads behind, so a process that will fork does without it.
    ``known``: an earlier parse of the project, and who takes that of this one.
    Raises nothing of dbt: what failed is in the answer.
    """
    try:
        write_files(step, folder)
        with (
            ColumnReader(step) as columns,
            written_profile(step, folder, session_options=columns.session_options),
        ):
            failure, rows, left_out = _invoke(
                step, folder, emit, columns, static_parser, known or KnownParse()
            )
    except Exception as error:
        failure, rows, left_out = failure_of(error), 0, None
    if failure is not None:
        return StepFinished(
            step_key=step.step.key, state=StepState.FAILED, failure=failure, rows=rows or None
        )
    state = StepState.SUCCEEDED if left_out is None else StepState.WARNED
    return StepFinished(step_key=step.step.key, state=state, failure=left_out, rows=rows)


def _invoke(
    step: ResolvedTransform,
    folder: Path,
    emit: Emit,
    columns: ColumnReader,
    static_parser: bool,
    known: KnownParse,
) -> tuple[Failure | None, int, Failure | None]:
    """(why it failed, rows that models wrote, why some nodes were not built)"""
    prepare_dbt()
    from dbt.cli.main import dbtRunner

    # dbt takes options from variables too, and this folder's project whatever they say.
    for name in [name for name in os.environ if name.startswith("DBT_")]:
        if not name.startswith("DBT_ENV_SECRET_"):
            del os.environ[name]
    places = ["--project-dir", str(folder), "--profiles-dir", str(folder), "--target", TARGET]
    parser = "--static-parser" if static_parser else "--no-static-parser"
    arguments = [*FLAGS, WITHOUT_ARTIFACTS, parser, "parse", *places]
    if step.production_schema is not None:
        failure = keep_production(step, folder, arguments)
        if failure is not None:
            return failure, 0, None
    manifest, error = parse_project(step, folder, arguments, known)
    if manifest is None:
        return compile_failure(error), 0, None
    builds = step.step.command not in _BUILDS_NOTHING
    events = NodeEvents(step.step.key, emit, manifest, folder, columns, builds=builds)
    blocked: dict[str, Blocked] = {}
    if step.breaches and step.step.command in CAN_BLOCK:
        names = RelationColumns(step.step.key, columns, emit)
        blocked, failure = find_blocked(step, manifest, places, names)
        if failure is not None:
            return failure, 0, None
    left_out = None
    selection = _selection(step)
    if (step.done or blocked) and can_skip(step.step.command):
        listed = dbtRunner(manifest=manifest).invoke(
            [*FLAGS, WITHOUT_ARTIFACTS, "--quiet", "list", *places, *selection, *list_arguments()]
        )
        if not listed.success:
            return compile_failure(listed.exception), 0, None
        names_left, selected = select_rest(step, listed.result or ())
        unbuilt = names_left.keys() & blocked.keys()
        left_out = leave_out(unbuilt, selected, blocked, manifest, events)
        names_left = {one: name for one, name in names_left.items() if one not in blocked}
        if not names_left:
            return None, 0, left_out
        selection = rest_arguments(names_left.values())
    if step.step.full_refresh and step.step.command in _CAN_REFRESH:
        selection.append("--full-refresh")
    if step.step.store_failures and step.step.command in _TESTS:
        selection.append("--store-failures")
    if step.step.command is DbtCommand.DOCS:
        return document(step, manifest, folder, places, selection, events), 0, None
    if step.production_schema is not None and step.step.command in _CAN_DEFER:
        selection += ["--defer", "--favor-state", "--state", str(folder / PRODUCTION)]
    answer = dbtRunner(manifest=manifest, callbacks=[events.follow]).invoke(
        [*flags_of(step), *str(step.step.command).split(), *places, *selection]
    )
    events.finish(getattr(answer.result, "results", None) or ())
    if step.step.command in _BUILDS:
        teller = LineageTeller(step.step.key, step.destination.kind, manifest, columns, emit)
        teller.tell(events.finished())
    if answer.exception is not None:
        return compile_failure(answer.exception), events.rows, left_out
    return events.failure(), events.rows, left_out


def _selection(step: ResolvedTransform) -> list[str]:
    arguments: list[str] = []
    if step.step.select:
        arguments += ["--select", *step.step.select]
    if step.step.exclude:
        arguments += ["--exclude", *step.step.exclude]
    return arguments


_CAN_DEFER = (
    DbtCommand.BUILD,
    DbtCommand.RUN,
    DbtCommand.TEST,
    DbtCommand.SNAPSHOT,
    DbtCommand.COMPILE,
)
_TESTS = (DbtCommand.BUILD, DbtCommand.TEST)
_BUILDS_NOTHING = (DbtCommand.COMPILE, DbtCommand.SOURCE_FRESHNESS)
_BUILDS = (DbtCommand.BUILD, DbtCommand.RUN)
_CAN_REFRESH = (DbtCommand.BUILD, DbtCommand.RUN, DbtCommand.SEED)

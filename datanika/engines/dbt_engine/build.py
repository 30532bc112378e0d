"""A transform step: dbt in this process, its nodes as events."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from datanika.contracts.enums import DbtCommand, StepState
from datanika.contracts.events import ColumnBreach, ColumnInfo, Failure, StepFinished
from datanika.contracts.steps import BLOCKED, ResolvedTransform
from datanika.engines.dbt_engine.columns import ColumnReader
from datanika.engines.dbt_engine.lineage import LineageTeller, RelationColumns
from datanika.engines.dbt_engine.nodes import NodeEvents
from datanika.engines.dbt_engine.parsed import KnownParse, parse_project
from datanika.engines.dbt_engine.profile import TARGET, written_profile
from datanika.engines.dbt_engine.readers import (
    CAN_BLOCK,
    Blocked,
    blocked_by,
    direct_readers,
)
from datanika.engines.dbt_engine.rest import (
    can_skip,
    list_arguments,
    rest_arguments,
    select_rest,
)
from datanika.engines.emit import Emit
from datanika.engines.failures import explain_text, failure_of
from datanika.errors import TerminalStepError

# Everything that could reach out, phone home, or write beyond the work folder is off.
FLAGS = (
    "--no-send-anonymous-usage-stats",
    "--no-version-check",
    "--no-use-colors",
    "--no-use-colors-file",
    "--log-level",
    "none",
    "--log-level-file",
    "none",
)
# What follows a run goes by its events; the files that dbt writes of it would be read by nobody.
WITHOUT_ARTIFACTS = "--no-write-json"


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


def write_files(step: ResolvedTransform, folder: Path) -> None:
    """Write the project; raises :class:`TerminalStepError` for a path that leads out of it."""
    for name, content in step.files.items():
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or path.name == "profiles.yml":
            raise TerminalStepError(
                f"The project may not write {name!r}.", code="project_path_refused"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "dbt_project.yml" and step.destination.kind == "duckdb":
            content = _without_file_access(content)
        path.write_text(content, encoding="utf-8")


def _without_file_access(project: str) -> str:
    """Seeds through INSERT: in a DuckDB without file access they cannot be COPYed."""
    content = yaml.safe_load(project)
    content["seeds"] = {**(content.get("seeds") or {}), "+fast": False}
    text: str = yaml.safe_dump(content, sort_keys=False)
    return text


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
        blocked, failure = _blocked(step, manifest, places, names)
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
        left_out = _leave_out(unbuilt, selected, blocked, manifest, events)
        names_left = {one: name for one, name in names_left.items() if one not in blocked}
        if not names_left:
            return None, 0, left_out
        selection = rest_arguments(names_left.values())
    if step.step.full_refresh and step.step.command in _CAN_REFRESH:
        selection.append("--full-refresh")
    if step.step.store_failures and step.step.command in _TESTS:
        selection.append("--store-failures")
    if step.step.command is DbtCommand.DOCS:
        return _document(step, manifest, folder, places, selection, events), 0, None
    if step.production_schema is not None and step.step.command in _CAN_DEFER:
        selection += ["--defer", "--favor-state", "--state", str(folder / PRODUCTION)]
    answer = dbtRunner(manifest=manifest, callbacks=[events.follow]).invoke(
        [*_flags(step), *str(step.step.command).split(), *places, *selection]
    )
    events.finish(getattr(answer.result, "results", None) or ())
    if step.step.command in _BUILDS:
        teller = LineageTeller(step.step.key, step.destination.kind, manifest, columns, emit)
        teller.tell(events.finished())
    if answer.exception is not None:
        return compile_failure(answer.exception), events.rows, left_out
    return events.failure(), events.rows, left_out


def _document(
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
        [*_flags(step), *str(step.step.command).split(), "--no-compile", *places]
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


def _blocked(
    step: ResolvedTransform, manifest: Any, places: list[str], columns: RelationColumns
) -> tuple[dict[str, Blocked], Failure | None]:
    """(nodes that are not to be built because of breaches, why that could not be told)"""
    from dbt.cli.main import dbtRunner

    readers = direct_readers(manifest, (one.relation for one in step.breaches))
    if not readers:
        return {}, None
    # What dbt notes in nodes while it compiles them would keep it from compiling them again.
    kept = {
        unique_id: copy.deepcopy(node)
        for unique_id, node in manifest.nodes.items()
        if unique_id in readers or str(node.config.materialized) == "ephemeral"
    }
    names = [".".join(manifest.nodes[unique_id].fqn) for unique_id in readers]
    arguments = [*FLAGS, WITHOUT_ARTIFACTS, "compile", *places, "--select"]
    answer = dbtRunner(manifest=manifest).invoke([*arguments, *(f"fqn:{one}" for one in names)])
    if answer.exception is not None and getattr(answer, "result", None) is None:
        return {}, compile_failure(answer.exception)
    compiled = {
        str(one.node.unique_id): str(one.node.compiled_code)
        for one in getattr(answer.result, "results", None) or ()
        if str(one.status) == "success" and getattr(one.node, "compiled_code", None)
    }
    kind = step.destination.kind
    blocked = blocked_by(manifest, kind, readers, compiled, step.breaches, columns)
    manifest.nodes.update(kept)
    return blocked, None


def _leave_out(
    left_out: Collection[str],
    selected: Collection[str],
    blocked: Mapping[str, Blocked],
    manifest: Any,
    events: NodeEvents,
) -> Failure | None:
    """Tell of the nodes; what the step says of them."""
    if not left_out:
        return None
    names = {unique_id: str(node.name) for unique_id, node in manifest.nodes.items()}
    breaches: dict[ColumnBreach, None] = {}
    for unique_id in sorted(left_out):
        one = blocked[unique_id]
        breaches.setdefault(one.breach)
        reason = {"breach": one.breach.model_dump(mode="json"), "through": one.through or None}
        events.skip(unique_id, one.failure(names), {"blocked_by": reason})
    columns = ", ".join(
        one.relation if one.column is None else f"{one.relation}.{one.column}" for one in breaches
    )
    return Failure(
        code=BLOCKED,
        message=f"{len(left_out)} of {len(selected)} nodes were not built, because what they read "
        f"broke its schema contract: {columns}.",
        hint="Correct the source or the table's schema_contract and run it again.",
    )


def keep_production(
    step: ResolvedTransform, folder: Path, arguments: Sequence[str]
) -> Failure | None:
    """Where the project builds in production, as a manifest that dbt defers to; why that failed."""
    assert step.production_schema is not None
    there = step.step.model_copy(update={"default_schema": step.production_schema})
    step = step.model_copy(update={"files": step.files | step.production_files, "step": there})
    place = folder / PRODUCTION
    place.mkdir()
    write_files(step, place)
    profile = yaml.safe_load((folder / "profiles.yml").read_text("utf-8"))
    profile[step.project_name]["outputs"][TARGET]["schema"] = step.production_schema
    (place / "profiles.yml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    moved = [str(place) if one == str(folder) else one for one in arguments]
    manifest, error = parse_project(step, place, moved, KnownParse())
    if manifest is None:
        return compile_failure(error)
    manifest.write(str(place / "manifest.json"))
    return None


def prepare_dbt() -> None:
    """Locks of dbt's threads, without the helper process that Python's "spawn" starts for them.

    Call it before anything of dbt is imported: dbt's classes keep the context they found.
    """
    import multiprocessing

    from dbt import mp_context

    mp_context._MP_CONTEXT = multiprocessing.get_context("fork")


def _selection(step: ResolvedTransform) -> list[str]:
    arguments: list[str] = []
    if step.step.select:
        arguments += ["--select", *step.step.select]
    if step.step.exclude:
        arguments += ["--exclude", *step.step.exclude]
    return arguments


def _flags(step: ResolvedTransform) -> list[str]:
    flags = [*FLAGS, WITHOUT_ARTIFACTS]
    return [*flags, "--fail-fast"] if step.step.fail_fast else flags


PRODUCTION = "production"
"""Folder of the manifest that a run defers to."""
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


def compile_failure(error: BaseException | None) -> Failure:
    """Why dbt could not read the project."""
    if error is None:
        return Failure(code="dbt_failed", message="dbt stopped without saying why.")
    known = explain_text(str(error))
    if known is not None and known.code in _OF_THE_CONNECTION:
        return known
    message = " ".join(str(error).split())
    return Failure(
        code="dbt_compile_failed",
        message=f"The project does not compile: {message}",
        hint="Correct the transformation that the message names.",
    )


_OF_THE_CONNECTION = frozenset(
    {
        "authentication_failed",
        "host_unreachable",
        "connection_lost",
        "database_missing",
        "server_busy",
        "destination_busy",
        "disk_full",
        "out_of_memory",
    }
)

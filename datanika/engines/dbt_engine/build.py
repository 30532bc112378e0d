"""A transform step: dbt in this process, its nodes as events."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from datanika.contracts.enums import DbtCommand, StepState
from datanika.contracts.events import Failure, StepFinished
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.dbt_engine.columns import ColumnReader
from datanika.engines.dbt_engine.nodes import NodeEvents
from datanika.engines.dbt_engine.parsed import KnownParse, parse_project
from datanika.engines.dbt_engine.profile import TARGET, written_profile
from datanika.engines.dbt_engine.rest import can_skip, list_arguments, select_rest
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
            failure, rows = _invoke(
                step, folder, emit, columns, static_parser, known or KnownParse()
            )
    except Exception as error:
        failure, rows = failure_of(error), 0
    if failure is not None:
        return StepFinished(
            step_key=step.step.key, state=StepState.FAILED, failure=failure, rows=rows or None
        )
    return StepFinished(step_key=step.step.key, state=StepState.SUCCEEDED, rows=rows)


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
) -> tuple[Failure | None, int]:
    """(why it failed, rows that models wrote)"""
    prepare_dbt()
    from dbt.cli.main import dbtRunner

    # dbt takes options from variables too, and this folder's project whatever they say.
    for name in [name for name in os.environ if name.startswith("DBT_")]:
        if not name.startswith("DBT_ENV_SECRET_"):
            del os.environ[name]
    places = ["--project-dir", str(folder), "--profiles-dir", str(folder), "--target", TARGET]
    parser = "--static-parser" if static_parser else "--no-static-parser"
    arguments = [*FLAGS, WITHOUT_ARTIFACTS, parser, "parse", *places]
    manifest, error = parse_project(step, folder, arguments, known)
    if manifest is None:
        return compile_failure(error), 0
    selection = _selection(step)
    if step.done and can_skip(step.step.command):
        listed = dbtRunner(manifest=manifest).invoke(
            [*FLAGS, WITHOUT_ARTIFACTS, "--quiet", "list", *places, *selection, *list_arguments()]
        )
        if not listed.success:
            return compile_failure(listed.exception), 0
        rest = select_rest(step, listed.result or ())
        if rest is None:
            return None, 0
        selection = rest
    if step.step.full_refresh and step.step.command in _CAN_REFRESH:
        selection.append("--full-refresh")
    if step.step.store_failures and step.step.command in _TESTS:
        selection.append("--store-failures")
    builds = step.step.command not in _BUILDS_NOTHING
    events = NodeEvents(step.step.key, emit, manifest, folder, columns, builds=builds)
    answer = dbtRunner(manifest=manifest, callbacks=[events.follow]).invoke(
        [
            *_flags(step),
            WITHOUT_ARTIFACTS,
            *str(step.step.command).split(),
            *places,
            *selection,
        ]
    )
    events.finish(getattr(answer.result, "results", None) or ())
    if answer.exception is not None:
        return compile_failure(answer.exception), events.rows
    return events.failure(), events.rows


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
    return [*FLAGS, "--fail-fast"] if step.step.fail_fast else [*FLAGS]


_TESTS = (DbtCommand.BUILD, DbtCommand.TEST)
_BUILDS_NOTHING = (DbtCommand.COMPILE, DbtCommand.SOURCE_FRESHNESS)
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

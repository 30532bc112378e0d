"""One model as SQL: its Jinja resolved, without asking the warehouse anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datanika.contracts.ad_hoc import CompiledResult
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.dbt_engine.invocation import (
    FLAGS,
    WITHOUT_ARTIFACTS,
    compile_failure,
    prepare_dbt,
)
from datanika.engines.dbt_engine.parsed import KnownParse, parse_project
from datanika.engines.dbt_engine.profile import TARGET, written_profile
from datanika.engines.dbt_engine.project_files import write_files
from datanika.errors import TerminalStepError

_IS_INCREMENTAL = "{% macro is_incremental() %}{{ return(%s) }}{% endmacro %}\n"
"""dbt's own asks the warehouse whether the table is there."""


def compile_model(
    step: ResolvedTransform,
    model: str,
    folder: Path,
    *,
    incremental: bool,
    known: KnownParse | None = None,
) -> CompiledResult:
    """The SQL of the transformation called ``model``; ``folder`` is empty and the caller's.

    ``incremental``: as of a later run of an incremental model, not of its first. Raises
    :class:`TerminalStepError` ``dbt_compile_failed``.
    """
    # A tenant's names start with a letter, so this file cannot collide with a macro of theirs.
    macro = _IS_INCREMENTAL.replace("%s", str(incremental).lower())
    files = step.files | {"macros/_datanika_compile.sql": macro}
    write_files(step.model_copy(update={"files": files}), folder)
    prepare_dbt()
    from dbt.cli.main import dbtRunner

    places = ["--project-dir", str(folder), "--profiles-dir", str(folder), "--target", TARGET]
    apart = ["--no-introspect", "--no-populate-cache", "--select", model]
    flags = [*FLAGS, WITHOUT_ARTIFACTS]
    with written_profile(step, folder, offline=True):
        manifest, error = parse_project(
            step, folder, [*flags, "parse", *places], known or KnownParse()
        )
        if manifest is None:
            raise _refused(compile_failure(error).message)
        answer = dbtRunner(manifest=manifest).invoke([*flags, "compile", *places, *apart])
    results = getattr(answer.result, "results", None) or ()
    if answer.exception is not None:
        raise _refused(compile_failure(answer.exception).message)
    found = next((item for item in results if str(item.node.name) == model), None)
    if found is None:
        raise _refused(f"dbt did not compile {model!r}.")
    if str(found.status) != "success":
        raise _refused(" ".join(str(found.message).split()))
    return _compiled(found.node)


def _compiled(node: Any) -> CompiledResult:
    materialization = str(getattr(node.config, "materialized", "") or "") or None
    builds = str(node.resource_type) != "test" and materialization != "ephemeral"
    return CompiledResult(
        sql=str(node.compiled_code or ""),
        relation=f"{node.schema}.{node.alias}" if builds else None,
        materialization=materialization,
        depends_on=tuple(str(name) for name in node.depends_on.nodes),
    )


def _refused(message: str) -> TerminalStepError:
    return TerminalStepError(
        message,
        code="dbt_compile_failed",
        hint="Correct the transformation that the message names.",
    )

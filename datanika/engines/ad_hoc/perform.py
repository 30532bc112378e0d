"""One door to every ad hoc action."""

from __future__ import annotations

from pathlib import Path

from datanika.contracts.ad_hoc import (
    AdHocAction,
    AdHocResult,
    CompileAction,
    FormatAction,
    IntrospectAction,
    LintAction,
    PreviewAction,
    ProbeAction,
    ProbeResult,
    QueryAction,
    SlotsAction,
)
from datanika.engines.connectors.registry import connector_of
from datanika.engines.dbt_engine.parsed import KnownParse


def perform(action: AdHocAction, folder: Path, known: KnownParse | None = None) -> AdHocResult:
    """Do it. ``folder`` is empty and the caller's to remove; ``known``: a parse of the project.

    Raises what drivers and engines raise; :func:`~datanika.engines.failures.failure_of` explains.
    """
    connector = connector_of(action.connection)
    connector.parse(action.connection)
    if isinstance(action, ProbeAction):
        connector.test(action.connection)
        return ProbeResult(ok=True)
    if isinstance(action, IntrospectAction):
        return connector.introspect(action, folder)
    if isinstance(action, PreviewAction):
        return connector.preview(action, folder)
    if isinstance(action, QueryAction):
        return connector.query(action.connection, action.sql, action.limit, folder)
    if isinstance(action, SlotsAction):
        return connector.slots(action)
    if isinstance(action, FormatAction):
        from datanika.engines.ad_hoc.format import format_sql

        return format_sql(action.sql)
    if isinstance(action, LintAction):
        from datanika.engines.ad_hoc.lint import lint_sql

        return lint_sql(action.sql, action.dialect, action.macros)
    return _compile(action, folder, known)


def _compile(action: CompileAction, folder: Path, known: KnownParse | None) -> AdHocResult:
    from datanika.engines.dbt_engine.compile import compile_model

    project = folder / "project"
    project.mkdir()
    compiled = compile_model(
        action.step, action.model, project, incremental=action.incremental, known=known
    )
    if action.limit is None:
        return compiled
    connector = connector_of(action.connection)
    rows = connector.query(action.connection, compiled.sql, action.limit, folder)
    return rows.model_copy(update={"compiled_sql": compiled.sql})

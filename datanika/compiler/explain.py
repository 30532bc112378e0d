"""A plan in words and as a Mermaid graph: the same stages that the flow will walk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datanika.compiler.table_settings import explain_table_settings
from datanika.contracts.enums import StepKind, WriteDisposition
from datanika.contracts.plan import Plan, PlanLoad, PlanTransform
from datanika.contracts.spec import TableSpec


def explain_text(plan: Plan, pipeline_name: str, more_warnings: Sequence[str] = ()) -> str:
    """The plan for a terminal: stages, steps, tables, models, and what looks wrong.

    ``more_warnings`` are of what the plan alone does not tell.
    """
    count = len(plan.steps)
    lines = [
        f"Pipeline {pipeline_name}: {count} {'step' if count == 1 else 'steps'} in "
        f"{len(plan.stages)} {'stage' if len(plan.stages) == 1 else 'stages'}, "
        f"plan {plan.hash[:12]}"
    ]
    for number, keys in enumerate(plan.stages, start=1):
        together = ", at once" if len(keys) > 1 else ""
        lines += ["", f"Stage {number}{together}"]
        for key in keys:
            lines += [f"  {line}" for line in _step_lines(plan.get(key))]
    if plan.left_out:
        lines += ["", "Left out"]
        lines += [f"  {one.node or one.step_key}: {one.note}" for one in plan.left_out]
    warnings = [*plan_warnings(plan), *more_warnings]
    if warnings:
        lines += ["", "Warnings", *(f"  {warning}" for warning in warnings)]
    return "\n".join(lines) + "\n"


def explain_step(planned: PlanLoad | PlanTransform) -> tuple[str, ...]:
    """What the step does, a line for each thing: the step itself, its retries, its tables or
    models."""
    first, *rest = _step_lines(planned)
    return (first.partition(": ")[2], *(line.strip() for line in rest))


def _step_lines(planned: PlanLoad | PlanTransform) -> Iterator[str]:
    retry = planned.step.retry
    if planned.kind is StepKind.LOAD:
        yield (
            f"{planned.step.key}: load {planned.source.name} ({planned.source.kind}) -> "
            f"{planned.destination.name} ({planned.destination.kind}), "
            f"schema {planned.step.target_schema}"
        )
        details = [_table_line(table) for table in planned.step.tables]
        if planned.full_refresh:
            details.insert(0, "from the beginning, in place of what is there")
        if planned.interval is not None:
            details.insert(0, f"rows of {planned.interval}, cursors stay")
    else:
        yield (
            f"{planned.step.key}: dbt {planned.step.command} on {planned.destination.name} "
            f"({planned.destination.kind}), schema {planned.step.default_schema}"
        )
        details = list(_model_lines(planned))
    if planned.step.depends_on:
        yield f"  after {', '.join(planned.step.depends_on)}"
    growing = f", each {retry.backoff:g} times as long" if retry.backoff > 1 else ""
    yield (
        f"  {retry.retries} retries after {retry.delay_seconds:g} s{growing}, "
        f"at most {retry.timeout_seconds} s"
    )
    yield from (f"  {line}" for line in details)


def _table_line(table: TableSpec) -> str:
    how = "changes from the log (CDC), merged" if table.sync == "cdc" else table.write_disposition
    line = f"{table.target} <- {table.name}, {how}"
    if table.write_disposition is WriteDisposition.MERGE and table.primary_key:
        line += f" on {', '.join(table.primary_key)}"
    if table.cursor is not None:
        line += f", new rows by {table.cursor.column}"
    return "; ".join([line, *explain_table_settings(table)])


def _model_lines(planned: PlanTransform) -> Iterator[str]:
    if planned.step.select:
        yield f"select {' '.join(planned.step.select)}"
    if planned.step.exclude:
        yield f"exclude {' '.join(planned.step.exclude)}"
    if planned.step.full_refresh:
        yield "incremental models from nothing"
    if planned.done:
        yield f"without {len(planned.done)} nodes that are built already"
    for node in planned.models:
        reads = [*node.refs, *(f"{schema}.{table}" for schema, table in node.sources)]
        yield f"{node.kind} {node.name}" + (f" <- {', '.join(reads)}" if reads else "")


def plan_warnings(plan: Plan) -> tuple[str, ...]:
    """What is allowed and probably not meant. Sorted, one sentence each."""
    loaders = {
        (load.destination.id, load.step.target_schema, str(table.target)): load.step.key
        for load in plan.steps
        if load.kind is StepKind.LOAD
        for table in load.step.tables
    }
    upstream = _upstream(plan)
    warnings: set[str] = set()
    for planned in plan.steps:
        if planned.kind is not StepKind.TRANSFORM:
            continue
        key = planned.step.key
        if not planned.models:
            warnings.add(f"Step {key!r}: {planned.destination.name} has no transformations yet.")
        for node in planned.models:
            for schema, table in node.sources:
                loader = loaders.get((planned.destination.id, schema, table))
                if loader is not None and loader not in upstream[key]:
                    warnings.add(
                        f"Step {key!r} reads {schema}.{table} in {node.name!r} but does not wait "
                        f"for {loader!r}, which loads it."
                    )
    return tuple(sorted(warnings))


def _upstream(plan: Plan) -> dict[str, set[str]]:
    """Every step's direct and indirect dependencies; ``plan.steps`` is in topological order."""
    result: dict[str, set[str]] = {}
    for planned in plan.steps:
        direct = set(planned.step.depends_on)
        result[planned.step.key] = direct.union(*(result[key] for key in direct))
    return result


def explain_mermaid(plan: Plan) -> str:
    """The plan as a Mermaid flowchart: a box per step, a node per table and dbt resource."""
    lines = ["flowchart LR"]
    tables: dict[tuple[int, str, str], str] = {}
    edges: list[str] = []
    for number, planned in enumerate(plan.steps):
        box = f"s{number}"
        lines.append(f'  subgraph {box}["{_label(f"{planned.kind}: {planned.step.key}")}"]')
        if planned.kind is StepKind.LOAD:
            for position, table in enumerate(planned.step.tables):
                node_id = f"{box}t{position}"
                schema = planned.step.target_schema
                tables[(planned.destination.id, schema, str(table.target))] = node_id
                lines.append(f'    {node_id}[("{_label(f"{schema}.{table.target}")}")]')
        else:
            lines += _mermaid_models(planned, box, tables, edges)
        lines.append("  end")
    positions = {planned.step.key: f"s{number}" for number, planned in enumerate(plan.steps)}
    for planned in plan.steps:
        for needed in planned.step.depends_on:
            edges.append(f"  {positions[needed]} ==> {positions[planned.step.key]}")
    return "\n".join([*lines, *edges]) + "\n"


def _mermaid_models(
    planned: PlanTransform,
    box: str,
    tables: dict[tuple[int, str, str], str],
    edges: list[str],
) -> list[str]:
    shown = [node for node in planned.models if node.kind != "macro"]
    ids = {node.name: f"{box}m{position}" for position, node in enumerate(shown)}
    for node in shown:
        edges += [f"  {ids[needed]} --> {ids[node.name]}" for needed in node.refs]
        edges += [
            f"  {tables[source]} --> {ids[node.name]}"
            for schema, table in node.sources
            if (source := (planned.destination.id, schema, table)) in tables
        ]
    return [f'    {ids[node.name]}["{_label(node.name)}"]' for node in shown]


def _label(text: str) -> str:
    return text.replace('"', "#quot;")

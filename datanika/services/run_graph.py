"""The graph of a run: plan steps as boxes, their tables and dbt nodes inside, left to right.

Pure: ``(plan, run steps) -> nodes, boxes and edges with positions in CSS pixels``. The plan draws
the whole graph before anything ran; what the run reports fills in states, rows and times, and
adds what the plan could not know (the tables of a wildcard, say). dbt tests are counted on the
node that they test instead of being drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from datanika.contracts.enums import StepKind, StepState
from datanika.contracts.plan import Plan, PlanLoad
from datanika.models import RunStep

NODE_WIDTH, NODE_HEIGHT = 208, 52
GAP_X, GAP_Y = 56, 14
BOX_PADDING, BOX_HEADER = 16, 40
BOX_GAP_X, BOX_GAP_Y = 72, 28
MAX_ROWS = 8
"""A column of more nodes than this continues in the next one."""


@dataclass(frozen=True)
class GraphNode:
    """A table or a dbt node. ``x``, ``y`` are relative to its box."""

    id: str
    box: str
    label: str
    kind: str
    state: str = StepState.PENDING
    rows: int | None = None
    seconds: float | None = None
    tests: int = 0
    tests_passed: int = 0
    tests_warned: int = 0
    tests_failed: int = 0
    x: int = 0
    y: int = 0


@dataclass(frozen=True)
class GraphBox:
    """A step of the plan."""

    id: str
    label: str
    kind: str
    state: str
    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class GraphEdge:
    source: str
    target: str


@dataclass(frozen=True)
class RunGraph:
    boxes: list[GraphBox] = field(default_factory=list)
    nodes: list[GraphNode] = field(default_factory=list)
    edges: list[GraphEdge] = field(default_factory=list)


def build_graph(plan: Plan, steps: Sequence[RunStep]) -> RunGraph:
    """The graph of one run, complete from the first moment and filled in as it runs."""
    reported = [step for step in steps if step.node]
    states = {step.step_key: step.state for step in steps if not step.node}
    nodes, upstream = _planned(plan)
    nodes, upstream = _with_reported(nodes, upstream, reported)
    edges = sorted({(s, t) for t, sources in upstream.items() for s in sources})
    left_out = {one.step_key: one.kind for one in plan.left_out if not one.node}
    kinds = left_out | {planned.step.key: str(planned.kind) for planned in plan.steps}
    boxes = [
        GraphBox(key, key, kind, states.get(key, StepState.PENDING)) for key, kind in kinds.items()
    ]
    placed, sizes = _place_nodes(boxes, nodes, upstream)
    # What another run did stands before everything that this one does.
    columns = [tuple(left_out), *plan.stages] if left_out else list(plan.stages)
    return RunGraph(
        boxes=_place_boxes(columns, boxes, sizes),
        nodes=placed,
        edges=[GraphEdge(source, target) for source, target in edges],
    )


def _planned(plan: Plan) -> tuple[dict[str, GraphNode], dict[str, set[str]]]:
    """Nodes by id, and what each reads, as far as the plan knows."""
    nodes: dict[str, GraphNode] = {}
    upstream: dict[str, set[str]] = {}
    for planned in plan.steps:
        if isinstance(planned, PlanLoad):
            for table in planned.step.tables:
                name = table.target or table.name
                node_id = f"{planned.step.target_schema}.{name}"
                nodes[node_id] = GraphNode(node_id, planned.step.key, name, "table")
    for planned in plan.steps:
        if planned.kind is not StepKind.TRANSFORM:
            continue
        for model in planned.models:
            if model.kind in ("test", "macro"):
                continue
            node_id = f"{planned.step.key}/{model.name}"
            nodes[node_id] = GraphNode(node_id, planned.step.key, model.name, model.kind)
            reads = {f"{planned.step.key}/{ref}" for ref in model.refs}
            reads |= {f"{schema}.{table}" for schema, table in model.sources}
            upstream[node_id] = reads
    return nodes, {
        target: {source for source in sources if source in nodes}
        for target, sources in upstream.items()
    }


def _with_reported(
    nodes: dict[str, GraphNode], upstream: dict[str, set[str]], reported: Sequence[RunStep]
) -> tuple[dict[str, GraphNode], dict[str, set[str]]]:
    """Put what the run says over what the plan said."""
    nodes, upstream = dict(nodes), {k: set(v) for k, v in upstream.items()}
    ids: dict[tuple[str, str], str] = {}
    for step in reported:
        if step.kind == "test":
            continue
        node_id = _id_of(step)
        known = nodes.get(node_id)
        if known is None:
            known = GraphNode(node_id, step.step_key, _label(step), step.kind)
        nodes[node_id] = replace(
            known, state=step.state, rows=step.rows, seconds=step.duration_seconds, kind=step.kind
        )
        ids[step.step_key, step.node] = node_id
    by_name = {node.split(".")[-1]: node_id for (_, node), node_id in ids.items()}
    for step in reported:
        sources = {
            found
            for other in step.depends_on
            if (found := ids.get((step.step_key, other)) or _loaded(other, nodes, by_name))
        }
        if step.kind == "test":
            for source in sources:
                nodes[source] = _tested(nodes[source], step.state)
        elif (node_id := _id_of(step)) in nodes:
            upstream.setdefault(node_id, set()).update(sources - {node_id})
    return nodes, upstream


def _id_of(step: RunStep) -> str:
    return step.node if step.kind == "table" else f"{step.step_key}/{_label(step)}"


def _label(step: RunStep) -> str:
    return (step.name or step.node).rsplit(".", 1)[-1]


def _loaded(dbt_id: str, nodes: Mapping[str, GraphNode], by_name: Mapping[str, str]) -> str | None:
    """The node that a dbt id names: ``source.<project>.<schema>.<table>``, or a model's name."""
    parts = dbt_id.split(".")
    if parts[0] == "source" and len(parts) >= 3:
        table = ".".join(parts[-2:])
        return table if table in nodes else None
    return by_name.get(parts[-1])


def _tested(node: GraphNode, state: str) -> GraphNode:
    return replace(
        node,
        tests=node.tests + 1,
        tests_passed=node.tests_passed + (state == StepState.SUCCEEDED),
        tests_warned=node.tests_warned + (state == StepState.WARNED),
        tests_failed=node.tests_failed + (state == StepState.FAILED),
    )


def _depths(ids: Iterable[str], upstream: Mapping[str, set[str]]) -> dict[str, int]:
    """Longest way to each id inside ``ids``. Cycles cannot be: the compiler refused them."""
    members = set(ids)
    depths: dict[str, int] = {}

    def depth(node_id: str, path: frozenset[str] = frozenset()) -> int:
        if node_id not in depths:
            before = [
                depth(source, path | {node_id})
                for source in upstream.get(node_id, ())
                if source in members and source not in path
            ]
            depths[node_id] = 1 + max(before, default=-1)
        return depths[node_id]

    for node_id in members:
        depth(node_id)
    return depths


def _place_nodes(
    boxes: Sequence[GraphBox], nodes: Mapping[str, GraphNode], upstream: Mapping[str, set[str]]
) -> tuple[list[GraphNode], dict[str, tuple[int, int]]]:
    """Nodes with positions inside their boxes, and the size of each box."""
    placed: list[GraphNode] = []
    sizes: dict[str, tuple[int, int]] = {}
    heights: dict[str, float] = {}
    for box in boxes:
        members = {key: node for key, node in nodes.items() if node.box == box.id}
        columns: list[list[GraphNode]] = []
        depths = _depths(members, upstream)
        for level in range(max(depths.values(), default=-1) + 1):
            column = [node for key, node in members.items() if depths[key] == level]
            # Beside what they read, so that edges cross less.
            column.sort(key=lambda node: (_middle(node.id, upstream, heights), node.label))
            for row, node in enumerate(column):
                heights[node.id] = row
            chunks = [column[i : i + MAX_ROWS] for i in range(0, len(column), MAX_ROWS)]
            columns.extend(chunks)
        tallest = max((len(column) for column in columns), default=0)
        for x, column in enumerate(columns):
            # Short columns are centred.
            offset = (tallest - len(column)) * (NODE_HEIGHT + GAP_Y) // 2
            placed.extend(
                replace(
                    node,
                    x=BOX_PADDING + x * (NODE_WIDTH + GAP_X),
                    y=BOX_HEADER + offset + y * (NODE_HEIGHT + GAP_Y),
                )
                for y, node in enumerate(column)
            )
        width = max(len(columns), 1) * (NODE_WIDTH + GAP_X) - GAP_X + 2 * BOX_PADDING
        height = BOX_HEADER + max(tallest, 1) * (NODE_HEIGHT + GAP_Y) - GAP_Y + BOX_PADDING
        sizes[box.id] = (width, height)
    return placed, sizes


def _middle(node_id: str, upstream: Mapping[str, set[str]], heights: Mapping[str, float]) -> float:
    rows = [heights[source] for source in upstream.get(node_id, ()) if source in heights]
    return sum(rows) / len(rows) if rows else 0.0


def _place_boxes(
    stages: Sequence[tuple[str, ...]],
    boxes: Sequence[GraphBox],
    sizes: Mapping[str, tuple[int, int]],
) -> list[GraphBox]:
    """One column of boxes a stage, each column centred on the tallest."""
    by_id = {box.id: box for box in boxes}
    columns = [[sizes[key] for key in stage] for stage in stages]
    totals = [sum(h for _, h in column) + BOX_GAP_Y * (len(column) - 1) for column in columns]
    placed: list[GraphBox] = []
    x = 0
    for stage, column, total in zip(stages, columns, totals, strict=True):
        y = (max(totals) - total) // 2
        for key, (width, height) in zip(stage, column, strict=True):
            placed.append(replace(by_id[key], x=x, y=y, width=width, height=height))
            y += height + BOX_GAP_Y
        x += max(width for width, _ in column) + BOX_GAP_X
    return placed

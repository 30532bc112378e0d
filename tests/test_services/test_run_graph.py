"""The graph of a run: complete from the plan, filled in by what the run reports."""

from __future__ import annotations

from itertools import combinations

from datanika.compiler import compile_plan
from datanika.contracts.plan import Plan
from datanika.contracts.spec import ConnectionRef
from datanika.demo import content
from datanika.models import RunStep
from datanika.services.run_graph import (
    NODE_HEIGHT,
    NODE_WIDTH,
    RunGraph,
    build_graph,
)


def demo_plan() -> Plan:
    connections = {
        1: ConnectionRef(id=1, name="nyc_files", kind="files"),
        2: ConnectionRef(id=2, name="warehouse", kind="duckdb"),
    }
    return compile_plan(content.pipeline(1, 2), connections, content.transformations(2))


def step(key: str, node: str = "", kind: str = "", **values: object) -> RunStep:
    given = {"name": node or key, "state": "succeeded", "depends_on": [], **values}
    return RunStep(step_key=key, node=node, kind=kind, **given)


def edges(graph: RunGraph) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in graph.edges}


def test_the_plan_alone_draws_the_whole_graph() -> None:
    graph = build_graph(demo_plan(), [])
    assert [box.id for box in graph.boxes] == ["load_nyc", "transform_nyc"]
    assert {node.label for node in graph.nodes if node.box == "load_nyc"} == {
        "airlines", "airports", "planes", "weather", "flights",
    }  # fmt: skip
    assert {node.state for node in graph.nodes} == {"pending"}
    assert ("raw.flights", "transform_nyc/stg_flights") in edges(graph)
    assert ("transform_nyc/stg_flights", "transform_nyc/daily_departures") in edges(graph)
    # Singular tests are not nodes.
    assert not any("unique" in node.label for node in graph.nodes)


def test_what_the_run_reports_fills_the_graph_without_doubling_a_node() -> None:
    planned = build_graph(demo_plan(), [])
    graph = build_graph(
        demo_plan(),
        [
            step("load_nyc", state="running"),
            step("load_nyc", "raw.flights", "table", rows=336_776, duration_seconds=6.0),
            step(
                "transform_nyc",
                "model.org1.stg_flights",
                "model",
                name="stg_flights",
                state="running",
                depends_on=["source.org1.raw.flights"],
            ),
        ],
    )
    nodes = {node.id: node for node in graph.nodes}
    assert len(nodes) == len(planned.nodes) and edges(graph) == edges(planned)
    assert nodes["raw.flights"].rows == 336_776
    assert nodes["transform_nyc/stg_flights"].state == "running"
    assert {box.id: box.state for box in graph.boxes} == {
        "load_nyc": "running",
        "transform_nyc": "pending",
    }


def test_a_table_the_plan_did_not_know_appears() -> None:
    graph = build_graph(demo_plan(), [step("load_nyc", "raw.extra", "table")])
    assert "raw.extra" in {node.id for node in graph.nodes}


def test_tests_are_counted_on_the_node_they_test() -> None:
    model = step("transform_nyc", "model.org1.stg_planes", "model", name="stg_planes")
    tests = [
        step(
            "transform_nyc",
            f"test.org1.t{number}",
            "test",
            state=state,
            depends_on=["model.org1.stg_planes"],
        )
        for number, state in enumerate(("succeeded", "warned", "failed", "pending"))
    ]
    graph = build_graph(demo_plan(), [model, *tests])
    node = next(node for node in graph.nodes if node.label == "stg_planes")
    counted = (node.tests, node.tests_passed, node.tests_warned, node.tests_failed)
    assert counted == (4, 1, 1, 1)
    assert len(graph.nodes) == len(build_graph(demo_plan(), []).nodes)


def test_nothing_overlaps_and_everything_is_in_its_box() -> None:
    many = [step("load_nyc", f"raw.t{number:02}", "table") for number in range(30)]
    graph = build_graph(demo_plan(), many)
    boxes = {box.id: box for box in graph.boxes}
    for one, other in combinations(graph.nodes, 2):
        if one.box == other.box:
            apart_x, apart_y = abs(one.x - other.x), abs(one.y - other.y)
            assert apart_x >= NODE_WIDTH or apart_y >= NODE_HEIGHT, (one.id, other.id)
    for node in graph.nodes:
        box = boxes[node.box]
        assert node.x > 0 and node.x + NODE_WIDTH < box.width
        assert node.y > 0 and node.y + NODE_HEIGHT < box.height
    load, transform = (boxes[key] for key in ("load_nyc", "transform_nyc"))
    assert load.x + load.width < transform.x


def test_data_flows_from_left_to_right() -> None:
    graph = build_graph(demo_plan(), [])
    boxes = {box.id: box.x for box in graph.boxes}
    x = {node.id: boxes[node.box] + node.x for node in graph.nodes}
    assert all(x[edge.source] < x[edge.target] for edge in graph.edges)


def test_a_plan_that_did_not_compile_has_no_graph() -> None:
    assert build_graph(Plan(steps=(), stages=()), []) == RunGraph()

"""Circles are found however long they are, and nothing else is called one."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from datanika.services.dependency_graph import find_path

NODES = st.integers(0, 7)
EDGES = st.sets(st.tuples(NODES, NODES), max_size=20)


def reachable(edges: set[tuple[int, int]], start: int) -> set[int]:
    """By brute force: follow every edge until nothing new comes."""
    found = {start}
    for _ in range(len(edges) + 1):
        found |= {end for begin, end in edges if begin in found}
    return found


@given(EDGES, NODES, NODES)
def test_there_is_a_path_exactly_where_the_goal_can_be_reached(
    edges: set[tuple[int, int]], start: int, goal: int
) -> None:
    needs: defaultdict[int, list[int]] = defaultdict(list)
    for begin, end in edges:
        needs[begin].append(end)
    path = find_path(needs, start, goal)
    assert (path is not None) == (goal in reachable(edges, start))
    if path is not None:
        assert (path[0], path[-1]) == (start, goal)
        assert set(zip(path, path[1:], strict=False)) <= edges


def test_the_path_is_the_shortest() -> None:
    needs = {1: [2, 5], 2: [3], 3: [4], 5: [4]}
    assert find_path(needs, 1, 4) == [1, 5, 4]
    assert find_path(needs, 4, 1) is None
    assert find_path({}, 1, 1) == [1]

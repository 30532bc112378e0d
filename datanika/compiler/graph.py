"""Directed graphs of names: depth, order, and the cycle to show when there is one."""

from __future__ import annotations

from collections.abc import Mapping, Set


def find_cycle(edges: Mapping[str, Set[str]]) -> tuple[str, ...] | None:
    """One cycle as ``(a, b, …, a)``, each name depending on the next, or None.

    ``edges`` maps every name to the names it depends on. The same graph gives the same cycle.
    """
    done: set[str] = set()
    for start in sorted(edges):
        path: list[str] = []
        on_path: set[str] = set()
        # An explicit stack: a tenant's chain of a thousand models must not end in RecursionError.
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(name)
                done.add(name)
            elif name in on_path:
                return (*path[path.index(name) :], name)
            elif name not in done:
                path.append(name)
                on_path.add(name)
                stack.append((name, True))
                stack.extend((needed, False) for needed in sorted(edges[name], reverse=True))
    return None


def stages(edges: Mapping[str, Set[str]]) -> tuple[tuple[str, ...], ...]:
    """Names by depth, each stage sorted: a name stands in the stage after its last dependency.

    ``edges`` must be acyclic and name only its own keys.
    """
    remaining = {name: set(needed) for name, needed in edges.items()}
    result: list[tuple[str, ...]] = []
    while remaining:
        ready = tuple(sorted(name for name, needed in remaining.items() if not needed))
        if not ready:
            raise ValueError("the graph has a cycle")
        result.append(ready)
        for name in ready:
            del remaining[name]
        for needed in remaining.values():
            needed.difference_update(ready)
    return tuple(result)

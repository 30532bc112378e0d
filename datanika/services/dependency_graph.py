"""Circles among dependencies."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping


def find_path(needs: Mapping[int, Collection[int]], start: int, goal: int) -> list[int] | None:
    """The shortest way from ``start`` to ``goal``, both included, along ``needs``; None if there
    is none.

    A new edge ``goal`` -> ``start`` closes a circle if, and only if, there is one.
    """
    before: dict[int, int] = {}
    seen, queue = {start}, deque([start])
    while queue:
        here = queue.popleft()
        if here == goal:
            path = [here]
            while here != start:
                here = before[here]
                path.append(here)
            return path[::-1]
        for following in needs.get(here, ()):
            if following not in seen:
                seen.add(following)
                before[following] = here
                queue.append(following)
    return None

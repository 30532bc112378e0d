"""In which order a worker takes the runs that are due, when there are more than it has room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping


def fair_order[Run](due: Iterable[tuple[int | None, Run]], active: Mapping[int, int]) -> list[Run]:
    """``due`` so that the organisation with the fewest runs comes next.

    :param due: (organisation, run), the longest waiting first; None is the platform itself, whose
        maintenance waits for nobody.
    :param active: runs of each organisation that have started already.
    """
    places: Counter[int] = Counter(active)
    ranked: list[tuple[int, int, Run]] = []
    for arrival, (organization, run) in enumerate(due):
        place = -1
        if organization is not None:
            place = places[organization]
            places[organization] += 1
        ranked.append((place, arrival, run))
    return [run for _, _, run in sorted(ranked, key=lambda one: one[:2])]

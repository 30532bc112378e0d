"""In which order a worker takes the runs that are due, when there are more than it has room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


class FairShare:
    """Remembers whom it has served since they began to wait, so that in the end every organisation
    has had the same, or all that it asked for: max-min fairness, whatever else is due."""

    def __init__(self) -> None:
        self._served: dict[int, int] = {}

    def order[Run](
        self, due: Sequence[tuple[int | None, Run]], active: Mapping[int, int]
    ) -> list[Run]:
        """``due`` so that the organisation with the fewest runs, past and present, comes next.

        Who comes anew is as far as the least served of those that wait already, and no further
        behind: it has no claim on the time before (start-time fair queueing, Goyal et al., 1996).

        :param due: (organisation, run), the longest waiting first; None is the platform itself,
            whose maintenance waits for nobody.
        :param active: runs of each organisation that have started already.
        """
        waiting = {organization for organization, _ in due if organization is not None}
        least = min((self._served[one] for one in waiting if one in self._served), default=0)
        self._served = {one: self._served.get(one, least) for one in waiting}
        places = Counter(self._served)
        # What runs for hours counts for as long as it runs.
        places.update(active)
        ranked: list[tuple[int, int, Run]] = []
        for arrival, (organization, run) in enumerate(due):
            place = -1
            if organization is not None:
                place = places[organization]
                places[organization] += 1
            ranked.append((place, arrival, run))
        return [run for _, _, run in sorted(ranked, key=lambda one: one[:2])]

    def served(self, organization: int | None) -> None:
        """A run of the organisation was taken."""
        if organization in self._served:
            self._served[organization] += 1

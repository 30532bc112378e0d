"""Watches a started platform: says what died, sees it come back, heals what circus cannot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from datanika.runtime.checks import Check

LOOK_SECONDS = 1.0
CHECK_SECONDS = 5.0
HANGING_SECONDS = 30.0
"""A part that answered before and lives, but answers no check for this long, is restarted."""
STARTING_SECONDS = 150.0
"""The same for one that has not answered yet: a restart would only begin its start anew."""
LATE_SECONDS = 60.0
"""A part that is not back after this long is reported."""


NEEDS = {
    "prefect": ("postgres",),
    "web": ("postgres",),
    "celery": ("redis",),
    "worker": ("prefect", "postgres"),
}
"""Whose outage explains that a part does not answer: restarting it would not help."""


@dataclass
class Watched:
    """What the monitor knows about a part."""

    pids: tuple[int, ...]
    unhealthy_since: float | None = None
    answered: bool = True
    patient_since: float = field(default_factory=time.monotonic)
    spawned_at: float = field(default_factory=time.time)
    checked_at: float = 0.0
    reported: bool = False


class Monitor:
    """Looks once a second at the processes, every few seconds at their answers."""

    def __init__(
        self,
        names: list[str],
        checks: dict[str, Check],
        pids: Callable[[str], list[int]],
        restart: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._checks, self._pids, self._restart, self._say = checks, pids, restart, say
        self._names = names
        self._watched: dict[str, Watched] = {}

    def run(self, stopping: threading.Event) -> None:
        """Look until ``stopping`` or until the supervisor does not answer (Unavailable)."""
        while not stopping.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """One look at every part. Raises :class:`Unavailable` when the supervisor is gone."""
        for name in self._names:
            pids = tuple(self._pids(name))
            known = self._watched.setdefault(name, Watched(pids))
            if pids != known.pids:
                known.pids, known.spawned_at, known.answered = pids, time.time(), False
                known.patient_since = time.monotonic()
                self._notice(name, known)
            self._check(name, known)

    def _notice(self, name: str, known: Watched) -> None:
        if known.unhealthy_since is None:
            known.unhealthy_since = time.monotonic()
            self._say(f"{name} ended unexpectedly; it is started again.")

    def _check(self, name: str, known: Watched) -> None:
        now = time.monotonic()
        if known.unhealthy_since is None and now - known.checked_at < CHECK_SECONDS:
            return
        known.checked_at = now
        # A worker's heartbeat counts only if this process sent it.
        since = known.spawned_at if known.unhealthy_since is not None else 0.0
        healthy = bool(known.pids) and self._checks[name](since)
        if healthy:
            if known.unhealthy_since is not None:
                self._say(f"{name} is healthy again after {now - known.unhealthy_since:.1f} s.")
            known.unhealthy_since, known.reported, known.answered = None, False, True
        elif known.unhealthy_since is None:
            known.unhealthy_since = known.patient_since = now
        else:
            self._escalate(name, known, now)

    def _escalate(self, name: str, known: Watched, now: float) -> None:
        assert known.unhealthy_since is not None
        down = now - known.unhealthy_since
        if self._waits_for_another(name):
            # It gets its whole time again after that one is back.
            known.patient_since = now
        patience = HANGING_SECONDS if known.answered else STARTING_SECONDS
        if known.pids and now - known.patient_since > patience:
            self._say(f"{name} does not answer; restarting it.")
            known.patient_since = now
            self._restart(name)
        if down > LATE_SECONDS and not known.reported:
            known.reported = True
            self._say(f"{name} has been down for {down:.0f} s. Its log says why.")

    def _waits_for_another(self, name: str) -> bool:
        return any(
            need in self._watched and self._watched[need].unhealthy_since is not None
            for need in NEEDS.get(name, ())
        )

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
"""A living part that answers no check for this long is restarted."""
LATE_SECONDS = 60.0
"""A part that is not back after this long is reported."""


@dataclass
class Watched:
    """What the monitor knows about a part."""

    pids: tuple[int, ...]
    unhealthy_since: float | None = None
    restarted_at: float = 0.0
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

    def reset(self) -> None:
        """Forget what was known: everything was started anew."""
        self._watched = {}

    def unhealthy(self) -> list[str]:
        return [name for name, one in self._watched.items() if one.unhealthy_since is not None]

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
                known.pids, known.spawned_at = pids, time.time()
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
        if healthy and known.unhealthy_since is not None:
            self._say(f"{name} is healthy again after {now - known.unhealthy_since:.1f} s.")
            known.unhealthy_since, known.reported = None, False
        elif not healthy and known.unhealthy_since is None:
            known.unhealthy_since = now
        elif not healthy:
            self._escalate(name, known, now)

    def _escalate(self, name: str, known: Watched, now: float) -> None:
        assert known.unhealthy_since is not None
        down = now - known.unhealthy_since
        alive_but_silent = known.pids and time.time() - known.spawned_at > HANGING_SECONDS
        if alive_but_silent and now - known.restarted_at > HANGING_SECONDS:
            self._say(f"{name} does not answer; restarting it.")
            known.restarted_at = now
            self._restart(name)
        if down > LATE_SECONDS and not known.reported:
            known.reported = True
            self._say(f"{name} has been down for {down:.0f} s. Its log says why.")

"""The one state machine of a run: which state may follow which."""

from __future__ import annotations

from datanika.contracts.enums import RunState as S
from datanika.errors import IllegalTransition

TRANSITIONS: dict[S, frozenset[S]] = {
    S.QUEUED: frozenset(
        {S.STARTING, S.RUNNING, S.CANCELLING, S.CANCELLED, S.FAILED, S.SKIPPED, S.UPSTREAM_STALE}
    ),
    # STARTING follows STARTING or RUNNING when a new attempt takes the run over.
    S.STARTING: frozenset({S.STARTING, S.RUNNING, S.CANCELLING, S.CANCELLED, S.FAILED, S.QUEUED}),
    S.RUNNING: frozenset({S.STARTING, S.CANCELLING, S.CANCELLED, S.SUCCEEDED, S.FAILED}),
    # A run may finish its last commit before the cancel reaches it: then the truth is the finish.
    S.CANCELLING: frozenset({S.CANCELLED, S.SUCCEEDED, S.FAILED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
    S.SKIPPED: frozenset(),
    S.UPSTREAM_STALE: frozenset(),
}


def check_transition(current: S, target: S) -> None:
    """Raise :class:`IllegalTransition` unless ``target`` may follow ``current``."""
    if target not in TRANSITIONS[current]:
        raise IllegalTransition(
            f"A run that is {current} cannot become {target}.",
            hint="Reload the run: somebody or something else has already moved it on.",
        )

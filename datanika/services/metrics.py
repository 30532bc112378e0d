"""What Prometheus is told. Labels are closed vocabularies: never a tenant, a name or an id.

Counters are this process's since it started; :func:`platform_figures` reads the rest from the
database when somebody asks.
"""

from __future__ import annotations

import datetime as dt
import platform
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.process_collector import ProcessCollector
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika import __version__
from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_engine, get_session
from datanika.models import NotificationDelivery, Run

REGISTRY = CollectorRegistry()
OPEN_STATES = tuple(state.value for state in RunState if not state.is_final)
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

ProcessCollector(registry=REGISTRY)
Info("datanika_build", "What runs.", registry=REGISTRY).info(
    {"version": __version__, "python": platform.python_version()}
)
REQUESTS = Counter(
    "datanika_http_requests_total",
    "Requests by the template of their route; `other` is for paths that nothing serves.",
    ("method", "route", "status"),
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "datanika_http_request_seconds",
    "Time until an answer was sent, its transaction included.",
    ("method", "route"),
    buckets=_BUCKETS,
    registry=REGISTRY,
)
RUNS_FINISHED = Counter(
    "datanika_runs_finished_total", "Runs that ended.", ("state",), registry=REGISTRY
)
RECONCILER_PASSES = Counter(
    "datanika_reconciler_passes_total",
    "Passes of the reconciler: done, or failed (the next one tries again).",
    ("outcome",),
    registry=REGISTRY,
)
RECONCILER_LAST = Gauge(
    "datanika_reconciler_last_pass_timestamp_seconds",
    "When the last pass was done.",
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "datanika_notification_attempts_total",
    "Attempts to deliver a notification: delivered, retried, failed (given up).",
    ("kind", "outcome"),
    registry=REGISTRY,
)
DATABASE_UP = Gauge(
    "datanika_database_up", "Whether PostgreSQL answered this scrape.", registry=REGISTRY
)
DATABASE_CONNECTIONS = Gauge(
    "datanika_database_connections", "Connections of this process.", ("state",), registry=REGISTRY
)
DATABASE_CONNECTIONS_MAX = Gauge(
    "datanika_database_connections_max", "The most that this process opens.", registry=REGISTRY
)
RUNS = Gauge("datanika_runs", "Runs that are not over.", ("state",), registry=REGISTRY)
QUEUE_AGE = Gauge(
    "datanika_queue_age_seconds", "How long the oldest queued run waits.", registry=REGISTRY
)
WAITING_DELIVERIES = Gauge(
    "datanika_notifications_pending", "Notifications still to be delivered.", registry=REGISTRY
)
DELIVERY_AGE = Gauge(
    "datanika_notification_age_seconds",
    "How long the oldest notification that is due waits.",
    registry=REGISTRY,
)


@dataclass(frozen=True, slots=True)
class PlatformFigures:
    """What the database says about everybody together."""

    runs: dict[str, int]
    queue_age: float
    pending_deliveries: int
    delivery_age: float


def count_finished(session: AsyncSession, state: RunState) -> None:
    """Count a run that ends, once the transaction of ``session`` is committed."""

    def committed(_: object) -> None:
        RUNS_FINISHED.labels(state.value).inc()

    event.listen(session.sync_session, "after_commit", committed, once=True)


async def refresh() -> None:
    """Bring the gauges up to date. A database that is away is a figure, not an error."""
    pool = get_engine().pool
    # Made for QueuePool, which every engine of ours has.
    in_use, idle = pool.checkedout(), pool.checkedin()  # type: ignore[attr-defined]
    DATABASE_CONNECTIONS.labels("in_use").set(in_use)
    DATABASE_CONNECTIONS.labels("idle").set(idle)
    DATABASE_CONNECTIONS_MAX.set(pool.size() + pool._max_overflow)  # type: ignore[attr-defined]
    try:
        figures = await platform_figures()
    except Exception:
        DATABASE_UP.set(0)
        return
    DATABASE_UP.set(1)
    for state in OPEN_STATES:
        RUNS.labels(state).set(figures.runs.get(state, 0))
    QUEUE_AGE.set(figures.queue_age)
    WAITING_DELIVERIES.set(figures.pending_deliveries)
    DELIVERY_AGE.set(figures.delivery_age)


async def platform_figures() -> PlatformFigures:
    """Four figures, each from an index over what is open; past runs are not counted."""
    now = utcnow()
    async with get_session(SYSTEM) as session:
        states = await session.execute(
            select(Run.state, func.count()).where(Run.state.in_(OPEN_STATES)).group_by(Run.state)
        )
        runs = {state: count for state, count in states}
        oldest = await session.scalar(
            select(func.min(Run.created_at)).where(Run.state == RunState.QUEUED.value)
        )
        pending, due = (
            await session.execute(
                select(func.count(), func.min(NotificationDelivery.next_attempt_at)).where(
                    NotificationDelivery.state == "pending"
                )
            )
        ).one()
    return PlatformFigures(runs, _age(oldest, now), pending, _age(due, now))


def _age(moment: dt.datetime | None, now: dt.datetime) -> float:
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0

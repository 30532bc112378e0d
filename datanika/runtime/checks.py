"""Is a part ready? One question per part, asked from outside, as its users ask."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Callable
from datetime import datetime

from datanika.runtime.topology import Topology

Check = Callable[[float], bool]
"""Whether a part that was started at this Unix time is ready."""


def checks(topology: Topology) -> dict[str, Check]:
    """The check of each part that :meth:`Topology.parts` names."""
    found: dict[str, Check] = {
        "web": lambda since: answers(f"{topology.web_url}/healthz"),
        "celery": lambda since: celery_answers(topology.values["REDIS_URL"]),
        "worker": lambda since: worker_is_online(topology, since),
    }
    if topology.postgres is not None:
        postgres = topology.postgres
        found["postgres"] = lambda since: postgres.is_ready()
    if topology.redis is not None:
        redis = topology.redis
        found["redis"] = lambda since: redis.is_ready()
    if topology.prefect is not None:
        prefect = topology.prefect
        found["prefect"] = lambda since: prefect.is_ready()
    return found


def answers(url: str) -> bool:
    """Whether ``url`` answers 200 within 5 s."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def celery_answers(redis_url: str) -> bool:
    """Whether a Celery worker answers a ping through the broker."""
    from celery import Celery

    with Celery("datanika-check", broker=redis_url, set_as_current=False) as app:
        try:
            return bool(app.control.ping(timeout=1.0))
        except app.connection_for_read().connection_errors:
            return False


def worker_is_online(topology: Topology, since: float) -> bool:
    """Whether a worker has reported to the work pool after the Unix time ``since``."""
    values = topology.values
    request = urllib.request.Request(
        f"{values['PREFECT_API_URL']}/work_pools/{values['DATANIKA_WORK_POOL']}/workers/filter",
        data=b"{}",
        headers={"Content-Type": "application/json", **_authorization(values)},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            workers = json.load(answer)
    except OSError:
        return False
    return any(
        one["status"] == "ONLINE"
        and datetime.fromisoformat(one["last_heartbeat_time"]).timestamp() >= since
        for one in workers
    )


def _authorization(values: dict[str, str]) -> dict[str, str]:
    auth_string = values.get("PREFECT_API_AUTH_STRING")
    if not auth_string:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(auth_string.encode()).decode()}"}

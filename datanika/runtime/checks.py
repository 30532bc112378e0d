"""Is a part ready? One question per part, asked from outside, as its users ask."""

from __future__ import annotations

import base64
import contextlib
import json
import urllib.request
from collections.abc import Callable, Iterable
from datetime import datetime

import psutil

from datanika.runtime.topology import Topology

Check = Callable[[float], bool]
"""Whether a part that was started at this Unix time is ready."""


def checks(topology: Topology, pids: Callable[[str], list[int]]) -> dict[str, Check]:
    """The check of each part that :meth:`Topology.parts` names; ``pids`` of a part's processes.

    What listens must be ours: another server on the same port would answer as well.
    """
    postgres, redis, prefect = topology.postgres, topology.redis, topology.prefect
    found: dict[str, Check] = {
        "web": lambda since: (
            listens(pids("web"), topology.ports.web) and answers(f"{topology.web_url}/healthz")
        ),
        "celery": lambda since: celery_answers(topology.values["REDIS_URL"]),
        "worker": lambda since: worker_is_online(topology, since),
    }
    if postgres is not None:
        found["postgres"] = lambda since: (
            listens(pids("postgres"), postgres.port) and postgres.is_ready()
        )
    if redis is not None:
        found["redis"] = lambda since: listens(pids("redis"), redis.port) and redis.is_ready()
    if prefect is not None:
        found["prefect"] = lambda since: (
            listens(pids("prefect"), prefect.port) and prefect.is_ready()
        )
    return found


def listens(pids: Iterable[int], port: int) -> bool:
    """Whether one of these processes listens on ``port``."""
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            for one in psutil.Process(pid).net_connections("tcp"):
                if one.status == psutil.CONN_LISTEN and one.laddr.port == port:
                    return True
    return False


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
            # The first answer will do; a ping would wait for all of them.
            return bool(app.control.broadcast("ping", reply=True, timeout=2.0, limit=1))
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

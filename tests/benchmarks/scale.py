"""Many pipelines: ``uv run python -m tests.benchmarks.scale``.

2,000 scheduled pipelines in 200 organisations, on a whole platform (``stand.py``) with one worker
whose engine does nothing. Their rows are written; the reconciler of the web process does the rest.

* ``deploy``: seconds until Prefect has them all, and milliseconds a pipeline while it got the
  first 200 and the last 200 of them.
* ``noop_reconcile``: ``value`` seconds, and the requests to Prefect, of a pass with nothing to do.
* ``due_at_once``: 500 of them are due in the same minute. Ten organisations have twenty each, the
  others two or one. ``lost`` and ``doubled``: pipelines without a good run, and with more than one.
  ``fairness``: Jain's index over the organisations of runs started / max-min fair share, when half
  of all have started. ``p95_lag_s``: from the due time to the first step running.

``--part 10`` does a tenth of it. What happens is told on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import datetime as dt
import sys
import time
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Any

import pytest
from sqlalchemy import update

from datanika.config import settings
from datanika.db import SYSTEM, get_session
from datanika.models import Pipeline, PipelineVersion, Schedule
from datanika.services import reconciler
from datanika.services.reconciler import reconcile
from tests.benchmarks.dispatch import make_pipeline
from tests.benchmarks.report import percentile, print_case
from tests.benchmarks.stand import ROOT, Stand, stand

BIG, MIDDLE, SMALL = 10, 110, 80
"""Organisations by how many pipelines they have due: twenty, two, one."""
DUE = {"big": 20, "middle": 2, "small": 1}
PIPELINES = {"big": 20, "middle": 12, "small": 6}
EDGE = 200
SOME_DAY = "0 3 1 1 *"
HELD = "not to be deployed yet"
PASSES = 5
FINAL = ("succeeded", "failed", "cancelled", "skipped", "upstream_stale")


@dataclass(frozen=True)
class Fleet:
    """``due`` are the pipelines that will be due at once, ``rest`` the others."""

    organizations: int
    due: list[int]
    rest: list[int]


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def make_fleet(part: int) -> Fleet:
    """All the rows, none of them to be deployed yet."""
    kinds = ["big"] * (BIG // part) + ["middle"] * (MIDDLE // part) + ["small"] * (SMALL // part)
    due: list[int] = []
    rest: list[int] = []
    for number, kind in enumerate(kinds):
        first = (await make_pipeline(1)).id
        ids = [first, *await _copies(first, PIPELINES[kind] - 1)]
        due += ids[: DUE[kind]]
        rest += ids[DUE[kind] :]
        if number % 50 == 49:
            say(f"{number + 1} organisations, {len(due) + len(rest)} pipelines")
    return Fleet(len(kinds), due, rest)


async def _copies(pipeline_id: int, count: int) -> list[int]:
    """Pipelines with the same specification, and a schedule for each and the first."""
    async with get_session(SYSTEM) as session:
        first = await session.get_one(Pipeline, pipeline_id)
        first.deployed_hash = HELD
        version = await session.get_one(PipelineVersion, first.current_version_id)
        copies = [
            Pipeline(org_id=first.org_id, name=f"copy {number}", description="", deployed_hash=HELD)
            for number in range(count)
        ]
        session.add_all(copies)
        await session.flush()
        versions = [
            PipelineVersion(
                org_id=first.org_id,
                pipeline_id=copy.id,
                number=1,
                spec=version.spec,
                spec_hash=version.spec_hash,
            )
            for copy in copies
        ]
        session.add_all(versions)
        await session.flush()
        for copy, own in zip(copies, versions, strict=True):
            copy.current_version_id = own.id
        session.add_all(
            Schedule(org_id=first.org_id, pipeline_id=one.id, cron=SOME_DAY)
            for one in (first, *copies)
        )
        return [copy.id for copy in copies]


async def release(ids: list[int], cron: str = SOME_DAY) -> None:
    """Have the reconciler deploy these pipelines."""
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(Schedule).where(Schedule.pipeline_id.in_(ids)).values(cron=cron)
        )
        await session.execute(
            update(Pipeline).where(Pipeline.id.in_(ids)).values(deployed_hash=None)
        )


async def deployed(here: Stand, ids: list[int]) -> list[float]:
    """When (``time.monotonic()``) each of them was deployed, in order."""
    times: list[float] = []
    told = time.monotonic()
    while len(times) < len(ids):
        await asyncio.sleep(0.2)
        [(left,)] = await asyncio.to_thread(
            here.sql,
            "SELECT count(*) FROM pipelines WHERE id = ANY(%(ids)s) AND deployed_hash IS NULL",
            {"ids": ids},
        )
        now = time.monotonic()
        times += [now] * (len(ids) - int(str(left)) - len(times))
        if now - told > 20:
            told = now
            say(f"{len(times)} of {len(ids)} deployed")
    return times


async def deploy(here: Stand, fleet: Fleet) -> float:
    """Measure the deployment of everything that is not due at once, and the rest of the time with
    a minute to be due in; that minute, as seconds since the epoch."""
    edge = min(EDGE, len(fleet.rest) // 2)
    begin = time.monotonic()
    await release(fleet.rest)
    times = await deployed(here, fleet.rest)
    each = (times[-1] - begin) / len(times)
    ready = time.time() + 1.4 * each * len(fleet.due) + 45
    at = dt.datetime.fromtimestamp(ready - ready % 60 + 60, dt.UTC)
    say(f"The others will be due at {at:%H:%M}.")
    again = time.monotonic()
    await release(fleet.due, f"{at.minute} {at.hour} * * *")
    last = await deployed(here, fleet.due)
    seconds = (times[-1] - begin) + (last[-1] - again)
    tail = [*times, *last][-edge - 1 :]
    print_case(
        "deploy",
        {
            "pipelines": len(times) + len(last),
            "organizations": fleet.organizations,
            "seconds": seconds,
            "first": edge,
            "per_pipeline_ms_first": 1000 * (times[edge - 1] - begin) / edge,
            "per_pipeline_ms_last": 1000 * (tail[-1] - tail[0]) / edge,
        },
    )
    return at.timestamp()


async def noop(pipelines: int) -> None:
    """Passes of a reconciler in this process, between those of the web process."""
    seconds: list[float] = []
    calls: list[int] = []
    opened: list[Any] = []

    class Seen(reconciler.PrefectSweeper):
        def __init__(self) -> None:
            super().__init__()
            opened.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconciler, "PrefectSweeper", Seen)
        while len(seconds) < PASSES:
            opened.clear()
            begin = time.monotonic()
            counts = await reconcile()
            took = time.monotonic() - begin
            if not counts:
                await asyncio.sleep(0.5)
                continue
            if any(counts.values()):
                raise RuntimeError(f"There was something to do: {counts}")
            seconds.append(took)
            calls.append(opened[0].requests)
    print_case(
        "noop_reconcile",
        {"pipelines": pipelines, "prefect_calls": max(calls), "value": median(seconds)},
    )


def runs_of(here: Stand, ids: list[int]) -> list[tuple[int, int, str, float, float]]:
    """(pipeline, organisation, state, started, first step started), in the order of the starts."""
    rows = here.sql(
        """SELECT pipeline_id, org_id, state, extract(epoch FROM started_at)::float,
                  (SELECT extract(epoch FROM min(s.started_at))::float FROM run_steps s
                   WHERE s.run_id = runs.id AND s.node = '')
           FROM runs WHERE pipeline_id = ANY(%(ids)s) ORDER BY started_at NULLS LAST, id""",
        {"ids": ids},
    )
    return rows  # type: ignore[return-value]


def fair_shares(demands: dict[int, int], served: int) -> dict[int, float]:
    """Max-min fair shares of ``served`` runs: nobody gets more than they ask for, and what they
    leave is shared by the others alike."""
    shares: dict[int, float] = {}
    left = float(served)
    for number, (org_id, demand) in enumerate(sorted(demands.items(), key=lambda one: one[1])):
        shares[org_id] = min(float(demand), left / (len(demands) - number))
        left -= shares[org_id]
    return shares


def jain(values: list[float]) -> float:
    """1 when all are the same, 1/n when one has everything (Jain, Chiu and Hawe, 1984)."""
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


async def due_at_once(here: Stand, fleet: Fleet, at: float) -> None:
    def finished() -> tuple[int, int]:
        runs = runs_of(here, fleet.due)
        return len(runs), sum(run[2] in FINAL for run in runs)

    say(f"{at - time.time():.0f} s until they are due")
    await asyncio.sleep(max(0.0, at - time.time()))
    while True:
        await asyncio.sleep(5)
        begun, ended = await asyncio.to_thread(finished)
        say(f"{begun} runs begun, {ended} over")
        if ended >= len(fleet.due) or time.time() > at + 1200:
            break
    # Time for one too many.
    await asyncio.sleep(15)
    runs = runs_of(here, fleet.due)
    demands = Counter(
        int(str(org_id))
        for (org_id,) in here.sql(
            "SELECT org_id FROM pipelines WHERE id = ANY(%(ids)s)", {"ids": fleet.due}
        )
    )
    half = len(fleet.due) // 2
    served = Counter(run[1] for run in runs[:half])
    shares = fair_shares(demands, half)
    good = Counter(run[0] for run in runs if run[2] == "succeeded")
    lags = [run[4] - at for run in runs if run[4] is not None]
    print_case(
        "due_at_once",
        {
            "due": len(fleet.due),
            "runs": len(runs),
            "lost": sum(good[pipeline] == 0 for pipeline in fleet.due),
            "doubled": sum(count > 1 for count in Counter(run[0] for run in runs).values()),
            "fairness": jain([served[org_id] / shares[org_id] for org_id in shares]),
            "p50_lag_s": median(lags),
            "p95_lag_s": percentile(lags, 0.95),
        },
    )


async def main(part: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        say("Starting the platform.")
        async with stand(monkeypatch) as here:
            monkeypatch.setenv("DATANIKA_HOME", str(settings.home))
            fleet = await make_fleet(part)
            at = await deploy(here, fleet)
            await noop(len(fleet.due) + len(fleet.rest))
            if at < time.time() + 20:
                raise RuntimeError("Too late: the machine is too busy.")
            with here.worker("tests.benchmarks.tiny_engine"):
                await due_at_once(here, fleet, at)


if __name__ == "__main__":
    assert settings.env == "development"
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", type=int, default=1, choices=(1, 2, 5, 10))
    given = parser.parse_args()
    for folder in ("datanika", "flows", "tests"):
        compileall.compile_dir(ROOT / folder, quiet=2)
    asyncio.run(main(given.part))

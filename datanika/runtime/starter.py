"""The ordered start: every part as soon as what it needs is there, all else at the same time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from datanika.errors import Unavailable
from datanika.runtime import databases
from datanika.runtime.checks import Check, checks
from datanika.runtime.jobs import run_job, tail
from datanika.runtime.parts import Part
from datanika.runtime.progress import Progress
from datanika.runtime.supervision import Supervision
from datanika.runtime.topology import Topology

READY_SECONDS = 180.0
"""For one part, on a slow machine, at its first start."""
ASK_SECONDS = 0.1
START_TRIES = 5
"""A part that ends this often before it is ready will not become ready."""


class Starter:
    """Starts the parts of one topology through a supervisor that runs already."""

    def __init__(
        self,
        topology: Topology,
        supervision: Supervision,
        logs: Path,
        progress: Progress,
        stopping: threading.Event,
    ) -> None:
        """``stopping``: set by whoever wants the start to end early."""
        self._topology, self._supervision = topology, supervision
        self._logs, self._progress = logs, progress
        self._checks: dict[str, Check] = checks(topology, supervision.pids)
        self._names = {part.name for part in topology.parts()}
        self._stopping = stopping
        self._futures: dict[str, Future[None]] = {}

    def start(self) -> None:
        """Start everything and wait until it is ready. Raises the first failure."""
        with self._pool() as pool:

            def later(name: str, work: Callable[[], None], *needs: str) -> None:
                self._futures[name] = pool.submit(self._after, needs, work)

            # In an order in which what is needed stands before.
            later("front end", self._build_front_end)
            later("postgres", self._start_postgres)
            later("redis", self._start_redis)
            later("migrations", self._migrate, "postgres")
            later("prefect", self._start_prefect, "postgres")
            later("work pool", self._prepare_prefect, "prefect")
            later("web", self._part("web"), "front end", "migrations", "redis")
            later("celery", self._part("celery"), "migrations", "redis")
            later("worker", self._part("worker"), "prefect", "web")
            done, _ = wait(self._futures.values(), return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()

    def wait_ready(self, name: str, since: float, seconds: float = READY_SECONDS) -> None:
        """Until the part's check says yes; raises :class:`Unavailable` (``start_failed``)."""
        deadline = time.monotonic() + seconds
        tried: set[int] = set()
        while not self._checks[name](since):
            if self._stopping.is_set():
                raise Unavailable("Stopped while it was starting.", code="stopped")
            tried.update(self._supervision.pids(name))
            if len(tried) > START_TRIES or time.monotonic() > deadline:
                log = self._logs / f"{name}.log"
                raise Unavailable(
                    f"{name} did not become ready. Its log ends:\n{tail(log)}",
                    code="start_failed",
                    hint=f"The whole log: {log}",
                )
            time.sleep(ASK_SECONDS)

    @contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        # One thread per step: none may wait for a thread while it waits for another step.
        pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="start")
        try:
            yield pool
        except BaseException:
            self._stopping.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _after(self, needs: tuple[str, ...], work: Callable[[], None]) -> None:
        for need in needs:
            self._futures[need].result()
        if not self._stopping.is_set():
            work()

    def _part(self, name: str) -> Callable[[], None]:
        """Start the part ``name`` and wait for it."""

        def start() -> None:
            if name not in self._names:
                return
            with self._progress.step(name):
                since = time.time()
                self._supervision.start_part(name)
                self.wait_ready(name, since)

        return start

    def _start_postgres(self) -> None:
        cluster = self._topology.postgres
        if cluster is None:
            return
        with self._progress.step("postgres"):
            cluster.initialise()
            cluster.forget_dead_server()
            since = time.time()
            self._supervision.start_part("postgres")
            self.wait_ready("postgres", since)
            databases.ensure_platform_databases(cluster.admin_url, self._topology.passwords)

    def _start_redis(self) -> None:
        if self._topology.redis is not None:
            self._topology.redis.initialise()
        self._part("redis")()

    def _start_prefect(self) -> None:
        self._part("prefect")()

    def _build_front_end(self) -> None:
        command = (sys.executable, "-m", "datanika.ui.serve", "build")
        self._job("front end", command, self._topology.environments.build())

    def _migrate(self) -> None:
        root = Path(__file__).parents[2]
        command = (sys.executable, "-m", "alembic", "-c", str(root / "alembic.ini"))
        self._job(
            "migrations", (*command, "upgrade", "head"), self._topology.environments.migration()
        )

    def _prepare_prefect(self) -> None:
        command = (sys.executable, "-m", "datanika.orchestration")
        self._job("work pool", command, self._topology.environments.prefect_client())

    def _job(self, name: str, command: tuple[str, ...], environment: dict[str, str]) -> None:
        with self._progress.step(name):
            part = Part(
                name.replace(" ", "-"), command, environment, str(self._topology.home), order=0
            )
            run_job(part, self._logs, self._stopping)

"""The supervisor: circus in a process of its own, which restarts every part that ends.

    python -m datanika.runtime.supervisor      reads its plan (JSON) from stdin

It starts nothing by itself: the platform's process tells it, over a socket file in a private
folder, which part to start and when. On SIGTERM, or when that process is gone, it stops the parts
in order. When the supervisor itself is killed the kernel signals every part.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from circus import logger as circus_logger
from circus.arbiter import Arbiter
from circus.exc import ConflictError
from circus.watcher import Watcher
from tornado import gen

from datanika.runtime import processes
from datanika.runtime.launch import end_with_parent
from datanika.runtime.parts import LOG_BYTES, LOG_FILES, Part
from datanika.runtime.supervision import CONTROL_SOCKET, EVENT_SOCKET, endpoint

CHECK_SECONDS = 0.5
ORPHAN_SECONDS = 4.0
"""How long what a crashed part leaves behind may take to end before it is killed."""


class OrderedArbiter(Arbiter):
    """Circus, but it stops parts in their order and ends what crashed parts leave behind."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._orphans: dict[psutil.Process, float] = {}

    def reap_processes(self) -> None:
        super().reap_processes()
        self.end_orphans()

    def end_orphans(self) -> None:
        """Children of ours that are nobody's process: their part died and we adopted them."""
        known = {pid for watcher in self.iter_watchers() for pid in watcher.processes}
        now = time.monotonic()
        found: dict[psutil.Process, float] = {}
        for process in psutil.Process().children():
            if process.pid in known or not processes.is_alive(process):
                continue
            since = found[process] = self._orphans.get(process, now)
            number = signal.SIGKILL if now - since > ORPHAN_SECONDS else signal.SIGTERM
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        self._orphans = found

    @gen.coroutine
    def _stop_watchers(
        self, close_output_streams: bool = False, watcher_iter_func: Any = None
    ) -> Any:
        watchers = (watcher_iter_func or self.iter_watchers)(reverse=False)
        for order in sorted({watcher.priority for watcher in watchers}):
            yield gen.multi(
                [w._stop(close_output_streams) for w in watchers if w.priority == order]
            )


def stop_on_signals(arbiter: Arbiter) -> None:
    """Stop on SIGTERM, SIGINT and SIGHUP.

    Circus' own handlers give up when another command is running at that moment.
    """

    @gen.coroutine
    def stop() -> Any:
        while True:
            try:
                yield arbiter.stop()
                return
            except ConflictError:
                yield gen.sleep(0.1)

    def handle(number: int, frame: FrameType | None) -> None:
        circus_logger.info("Stopping: %s", signal.Signals(number).name)
        arbiter.loop.add_callback_from_signal(stop)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, handle)


def log_to(file: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(
        file, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    circus_logger.addHandler(handler)
    circus_logger.setLevel(logging.INFO)


def main() -> None:
    plan = json.load(sys.stdin)
    run_folder, logs = Path(plan["run_folder"]), Path(plan["logs"])
    end_with_parent(plan["parent"], signal.SIGTERM)
    processes.adopt_orphans()
    log_to(logs / "supervisor.log")
    arbiter = OrderedArbiter(
        [Watcher(**Part.from_json(one).watcher(os.getpid(), logs)) for one in plan["parts"]],
        endpoint(run_folder, CONTROL_SOCKET),
        endpoint(run_folder, EVENT_SOCKET),
        check_delay=CHECK_SECONDS,
        proc_name="datanika-supervisor",
        fqdn_prefix="datanika",
    )
    stop_on_signals(arbiter)
    try:
        arbiter.start()
    finally:
        processes.end(processes.descendants(), grace_seconds=5)


if __name__ == "__main__":
    main()

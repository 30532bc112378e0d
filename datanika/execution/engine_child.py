"""One step in a process of its own: reads it from a channel, writes its events there, ends.

The channel is a stream socket of JSON lines: the resolved step comes in, events go out. Every
event is redacted before it is written. What the engines print goes through a pipe into log lines.

A transform step is followed by ``{"parsed": N, "exact": …}`` and N bytes, an earlier parse of its
project; among its events is at most one ``{"parsed": N}`` and N bytes, this run's parse.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pydantic import TypeAdapter

from datanika.contracts.enums import StepState
from datanika.contracts.events import LogLine, RunEvent, StepFinished, run_event
from datanika.contracts.steps import (
    ResolvedConnection,
    ResolvedLoad,
    ResolvedStep,
    ResolvedTransform,
)
from datanika.execution.fence import enclose
from datanika.execution.parse_cache import MAX_ENTRY, ParseEntry, read_parse
from datanika.execution.redact import Redactor, cut
from datanika.execution.sandbox import (
    StepLimits,
    close_others,
    die_with_parent,
    enter,
    harden,
    limit,
)

resolved_step: TypeAdapter[ResolvedLoad | ResolvedTransform] = TypeAdapter(ResolvedStep)


Work = Callable[[BinaryIO, socket.socket, Path], None]
"""(orders that arrive, the channel to answer on, the process' folder)"""


def main(
    channel: socket.socket, folder: Path, limits: StepLimits, parent: int, work: Work | None = None
) -> None:
    """Run the step that arrives on ``channel``, or do other ``work``. Never returns: the process
    ends here."""
    try:
        os.setsid()
        die_with_parent(parent)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        close_others(channel.fileno())
        harden()
        enter(folder)
        limit(limits)
        with channel.makefile("rb") as orders:
            (work or run_step)(orders, channel, folder)
    finally:
        # Exit handlers belong to the process that this one was forked from.
        os._exit(0)


def run_step(orders: BinaryIO, channel: socket.socket, folder: Path) -> None:
    """Run the step in ``orders`` behind the fence; nothing where there is none."""
    line = orders.readline()
    if line:
        step = resolved_step.validate_json(line)
        enclose(folder, connections_of(step))
        _run(step, channel, folder, read_parse(orders))


def _run(
    step: ResolvedLoad | ResolvedTransform,
    channel: socket.socket,
    folder: Path,
    parse: ParseEntry | None,
) -> None:
    events = EventWriter(channel, Redactor(secrets_of(step)))
    capture = OutputCapture(step.step.key, events)
    finished = finish(step, folder, events, parse)
    capture.close()
    events.write(finished)
    with contextlib.suppress(OSError):
        channel.shutdown(socket.SHUT_WR)


def finish(
    step: ResolvedLoad | ResolvedTransform,
    folder: Path,
    events: EventWriter,
    parse: ParseEntry | None = None,
) -> StepFinished:
    """Run ``step`` in the empty ``folder``; its events are written, but for the last one, which is
    the answer."""
    try:
        return _engine(step, folder, events, parse)
    except BaseException as error:
        from datanika.engines.failures import failure_of

        return StepFinished(
            step_key=step.step.key, state=StepState.FAILED, failure=failure_of(error)
        )


def _engine(
    step: ResolvedLoad | ResolvedTransform,
    folder: Path,
    events: EventWriter,
    parse: ParseEntry | None,
) -> StepFinished:
    work = folder / "work"
    work.mkdir()
    if isinstance(step, ResolvedLoad):
        from datanika.engines.dlt_engine.load import run_load

        return run_load(step, work, events.write)
    from datanika.engines.dbt_engine.build import run_transform
    from datanika.engines.dbt_engine.parsed import KnownParse

    known = KnownParse(parse.data, parse.exact, events.write_parse) if parse else None
    return run_transform(step, work, events.write, known=known)


def connections_of(step: ResolvedLoad | ResolvedTransform) -> list[ResolvedConnection]:
    """The connections that the step works with."""
    if isinstance(step, ResolvedLoad):
        return [step.destination, step.source]
    return [step.destination]


def secrets_of(step: ResolvedLoad | ResolvedTransform) -> list[str]:
    """Every secret that the step carries."""
    own = step.secrets() if isinstance(step, ResolvedLoad) else ()
    return [*own, *(secret for one in connections_of(step) for secret in one.secrets())]


class EventWriter:
    """Writes redacted events as JSON lines; safe for several threads."""

    def __init__(self, channel: socket.socket, redactor: Redactor) -> None:
        self._channel = channel
        self._redactor = redactor
        self._lock = threading.Lock()

    def write(self, event: RunEvent) -> None:
        value = cut(self._redactor.value(event).model_dump(mode="json"))
        data = run_event.dump_json(run_event.validate_python(value)) + b"\n"
        with self._lock:
            self._channel.sendall(data)

    def write_parse(self, entry: bytes) -> None:
        """Give back what a parse left: bytes for who keeps them, shown to nobody."""
        if len(entry) <= MAX_ENTRY:
            with self._lock:
                self._channel.sendall(b'{"parsed":%d}\n' % len(entry) + entry)


class OutputCapture:
    """stdin is empty; stdout and stderr become log lines."""

    def __init__(self, step_key: str, events: EventWriter) -> None:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._read, write = os.pipe()
        os.dup2(write, 1)
        os.dup2(write, 2)
        os.close(write)
        self._step_key = step_key
        self._events = events
        self._thread = threading.Thread(target=self._follow, name="output", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Pass on what was printed until now."""
        import sys

        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.close(null)
        self._thread.join(5)

    def _follow(self) -> None:
        with os.fdopen(self._read, "r", encoding="utf-8", errors="replace") as pipe:
            for line in pipe:
                if text := line.rstrip():
                    with contextlib.suppress(OSError):
                        self._events.write(LogLine(step_key=self._step_key, message=text))

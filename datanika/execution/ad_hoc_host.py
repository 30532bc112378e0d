"""Who asks for ad hoc actions, and the warm process that forks a child for each.

A fresh process imports drivers and engines for seconds before its first line; a child of a warm one
takes milliseconds. The warm process is exec'd with a clean environment, as an engine host is, and
is one: it gets descriptors and limits, never an action.

    python -m datanika.execution.ad_hoc_host DESCRIPTOR
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator

from pydantic import ValidationError

from datanika.contracts.ad_hoc import (
    MAX_ANSWER,
    AdHocAction,
    AdHocAnswer,
    CompileAction,
    ProbeAction,
)
from datanika.contracts.events import Failure
from datanika.execution.parse_cache import (
    MAX_ENTRY,
    ParseKey,
    default_cache,
    known_parse,
    parse_key,
)
from datanika.execution.sandbox import StepLimits, clean_environment, work_root

logger = logging.getLogger(__name__)

HOST_MODULE = "datanika.execution.ad_hoc_host"
AD_HOC_MODULE = "datanika.execution.ad_hoc"
LIMITS = StepLimits(memory_mb=3072, cpu_seconds=90, file_mb=64)
EXIT_SECONDS = 10.0


def ask(action: AdHocAction, timeout_seconds: float) -> AdHocAnswer:
    """See :func:`datanika.execution.sandbox.run_ad_hoc`."""
    key = None
    orders = action.model_dump_json().encode() + b"\n"
    if isinstance(action, CompileAction):
        key = parse_key(action.step, f"compile incremental={action.incremental}")
        if key is not None:
            orders += known_parse(default_cache(), key)
    late = threading.Event()
    host = _warm_host()
    try:
        if host is not None:
            out = host.ask(orders, timeout_seconds, late)
        else:
            out = _ask_fresh(orders, timeout_seconds, late)
    except OSError:
        out = b""
    if late.is_set():
        return AdHocAnswer(failure=_late(action, timeout_seconds))
    line, _, entry = out.partition(b"\n")
    if len(line) > MAX_ANSWER:
        return AdHocAnswer(failure=_TOO_LARGE)
    try:
        answer = AdHocAnswer.model_validate_json(line)
    except ValidationError:
        return AdHocAnswer(failure=_DIED)
    _keep(key, entry, action)
    return answer


def _keep(key: ParseKey | None, entry: bytes, action: AdHocAction) -> None:
    if key is not None and entry:
        default_cache().put(key, entry, action.connection.secrets())


def _ask_fresh(orders: bytes, seconds: float, late: threading.Event) -> bytes:
    with tempfile.TemporaryDirectory(
        prefix="ad-hoc-", dir=work_root(), ignore_cleanup_errors=True
    ) as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", AD_HOC_MODULE, folder],
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        try:
            with _deadline(seconds, late, kill):
                with process.stdin, contextlib.suppress(BrokenPipeError):
                    process.stdin.write(orders)
                with process.stdout:
                    return process.stdout.read(_MOST)
        finally:
            kill()
            process.wait()


class AdHocHost:
    """A warm process, and what its children do. Threads may ask at the same time."""

    def __init__(self) -> None:
        """Start it; it is of use from :attr:`is_ready` on."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", HOST_MODULE, str(theirs.fileno())],
                env=clean_environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.owner = os.getpid()
        self._control = ours
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._gone = threading.Event()
        self._exits: dict[int, threading.Event] = {}
        self._count = 0
        threading.Thread(target=self._listen, name="ad-hoc-host", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set() and not self._gone.is_set()

    @property
    def is_gone(self) -> bool:
        return self._gone.is_set()

    def wait_ready(self, seconds: float) -> bool:
        """Until it is warm; False when it does not become so."""
        self._ready.wait(seconds)
        return self.is_ready

    def ask(self, orders: bytes, seconds: float, late: threading.Event) -> bytes:
        """What a child answers to ``orders``; ``late`` is set when it was ended for its time."""
        ours, theirs = socket.socketpair()
        exited = threading.Event()
        with ours:
            with theirs, self._lock:
                self._count += 1
                number = self._count
                self._exits[number] = exited
                order = json.dumps({"run": number, "limits": LIMITS.model_dump()})
                socket.send_fds(self._control, [order.encode()], [theirs.fileno()])
            try:
                with _deadline(seconds, late, lambda: self._kill(number)):
                    return _exchange(ours, orders)
            finally:
                self._kill(number)
                exited.wait(EXIT_SECONDS)
                self._exits.pop(number, None)

    def close(self) -> None:
        """End it with its children."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._process.wait(EXIT_SECONDS)

    def _kill(self, number: int) -> None:
        with contextlib.suppress(OSError):
            self._control.send(json.dumps({"kill": number}).encode())

    def _listen(self) -> None:
        while data := self._receive():
            message = json.loads(data)
            if "ready" in message:
                self._ready.set()
            elif (exited := self._exits.get(message["exited"])) is not None:
                exited.set()
        self._gone.set()
        # Nobody has to wait any longer.
        self._ready.set()
        for exited in list(self._exits.values()):
            exited.set()
        self._control.close()
        self._process.wait()

    def _receive(self) -> bytes:
        with contextlib.suppress(OSError):
            return self._control.recv(4096)
        return b""


_host: AdHocHost | None = None


def keep_warm() -> None:
    """See :func:`datanika.execution.sandbox.keep_warm`."""
    global _host
    if _host is None or _host.owner != os.getpid() or _host.is_gone:
        _host = AdHocHost()


def _warm_host() -> AdHocHost | None:
    if _host is None or _host.owner != os.getpid():
        return None
    if _host.is_gone:
        logger.warning("The warm process of ad hoc actions is gone; another one is started.")
        keep_warm()
        return None
    return _host if _host.is_ready else None


_MOST = MAX_ANSWER + MAX_ENTRY + 2


def _exchange(channel: socket.socket, orders: bytes) -> bytes:
    found = bytearray()
    with contextlib.suppress(ConnectionError):
        channel.sendall(orders)
        channel.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionError):
        while len(found) < _MOST and (data := channel.recv(1 << 20)):
            found += data
    return bytes(found)


@contextlib.contextmanager
def _deadline(seconds: float, late: threading.Event, end: Callable[[], None]) -> Iterator[None]:
    def expire() -> None:
        late.set()
        end()

    timer = threading.Timer(seconds, expire)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


_TOO_LARGE = Failure(
    code="answer_too_large",
    message="There is more to answer than can be shown.",
    hint="Ask for less: fewer rows, fewer tables, fewer columns.",
)
_DIED = Failure(
    code="engine_died",
    message="The process ended without an answer.",
    hint="It may have needed more memory or processor time than it may have.",
    transient=True,
)


def _late(action: AdHocAction, seconds: float) -> Failure:
    if isinstance(action, ProbeAction):
        return Failure(
            code="host_unreachable",
            message=f"There was no answer within {seconds:.0f} seconds.",
            hint="Check the connection's host and port, and that the server lets us in.",
            transient=True,
        )
    return Failure(
        code="action_timeout",
        message=f"It was not done within {seconds:.0f} seconds.",
        hint="Ask for less at once.",
        transient=True,
    )


def main(descriptor: int) -> None:
    """The warm process."""
    from datanika.execution import ad_hoc
    from datanika.execution.engine_host import EngineHost, warm_up

    warm_up()
    gc.freeze()
    with socket.socket(fileno=descriptor) as control:
        control.send(b'{"ready": true}')
        EngineHost(control, ad_hoc.work).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))

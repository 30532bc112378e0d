"""A small, cheap load generator: keep-alive connections that each send one request after the other.

Run as a process of its own (``python -m tests.benchmarks.http_load``), so that measuring takes no
time of the server's event loop. It reads a :class:`Load` as JSON from stdin and answers with the
latencies on stdout.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.report import percentile


@dataclass(frozen=True)
class Load:
    """Requests ``(method, path, headers, body)`` sent in turn for ``seconds`` over
    ``connections``, after ``warm_up`` seconds that are not counted; at most ``most`` of them."""

    url: str
    requests: list[tuple[str, str, dict[str, str], str]]
    seconds: float
    connections: int
    warm_up: float = 2.0
    most: int | None = None


def run(load: Load) -> dict[str, Any]:
    """``req_per_s``, percentiles in milliseconds, ``requests`` and ``errors`` of the load."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.http_load"],
        input=json.dumps(asdict(load)).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    answer = json.loads(process.stdout)
    latencies = answer["latencies"]
    return {
        "req_per_s": len(latencies) / answer["seconds"],
        "p50_ms": percentile(latencies, 0.50),
        "p95_ms": percentile(latencies, 0.95),
        "p99_ms": percentile(latencies, 0.99),
        "requests": len(latencies),
        "connections": load.connections,
        "errors": answer["errors"],
    }


async def _measure(load: Load) -> dict[str, Any]:
    address = urlsplit(load.url)
    assert address.hostname == "127.0.0.1" and address.port is not None
    messages = [_encoded(address.netloc, *request) for request in load.requests]
    latencies: list[float] = []
    errors: dict[str, int] = {}
    begin = time.perf_counter() + load.warm_up
    end = begin + load.seconds
    sent = 0

    async def one_connection() -> None:
        nonlocal sent
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        while (now := time.perf_counter()) < end and (load.most is None or sent < load.most):
            message = messages[sent % len(messages)]
            sent += 1
            writer.write(message)
            status = await _answer(reader)
            done = time.perf_counter()
            if now >= begin:
                latencies.append((done - now) * 1000)
                if status >= 400:
                    errors[str(status)] = errors.get(str(status), 0) + 1
        writer.close()

    await asyncio.gather(*(one_connection() for _ in range(load.connections)))
    return {
        "latencies": latencies,
        "errors": errors,
        "seconds": time.perf_counter() - begin,
    }


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read one answer; its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at >= 0:
        length = int(lower[at + 15 : lower.index(b"\r\n", at)])
        await reader.readexactly(length)
    return int(head[9:12])


def _encoded(host: str, method: str, path: str, headers: dict[str, str], body: str) -> bytes:
    payload = body.encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if payload:
        lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
    return "\r\n".join([*lines, "", ""]).encode() + payload


def main() -> None:
    import uvloop

    given = json.loads(sys.stdin.buffer.read())
    load = Load(**given | {"requests": [tuple(request) for request in given["requests"]]})
    sys.stdout.write(json.dumps(uvloop.run(_measure(load))))


if __name__ == "__main__":
    main()

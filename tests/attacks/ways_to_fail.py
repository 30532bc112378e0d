"""Ways for a connection to fail, from the network's to an adversary's at the other end."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest

from datanika.contracts.egress import EgressPolicy
from tests.support.canary import Answer, FakeDns, canary_server
from tests.support.echo_postgres import echo_postgres
from tests.support.net import free_port
from tests.test_engines.resolver import use_dns
from tests.test_engines.steps import LOCAL

SHAPES = {
    "plain": "canary-{}-x",
    "odd": "c'a\"n/a+r%y =\\ä@:{}€?#&<b>'{{x}}",
    "spaced": "canary  two\tspaces\n{}  and a line",
}
"""How people choose passwords, and how generators do."""


@dataclass
class Trial:
    """A failing connection. ``config`` changes a good one."""

    config: dict[str, Any] = field(default_factory=dict)
    policy: EgressPolicy = LOCAL


Way = Callable[[str, pytest.MonkeyPatch], AbstractContextManager[Trial]]


def simply(config: Mapping[str, Any], policy: EgressPolicy = LOCAL) -> Way:
    @contextmanager
    def way(canary: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
        use_dns(FakeDns(nowhere_invalid=[[]]), monkeypatch)
        yield Trial(dict(config), policy)

    return way


def echoing(says: Callable[[str], str]) -> Way:
    @contextmanager
    def way(canary: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
        with echo_postgres(says) as port:
            yield Trial({"port": port, "sslmode": "disable"})

    return way


@contextmanager
def refused_port(canary: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    yield Trial({"port": free_port(), "base_url": f"http://127.0.0.1:{free_port()}"})


@contextmanager
def quoting_driver(canary: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """A driver whose exception holds all that it was given."""

    def connect(*args: Any, **kwargs: Any) -> None:
        url = f"postgresql://u:{quote(kwargs['password'], safe='')}@h/d"
        raise psycopg2.OperationalError(f"{args} {kwargs} {url} {kwargs['password']!r}")

    with monkeypatch.context() as patch:
        patch.setattr(psycopg2, "connect", connect)
        yield Trial()


@contextmanager
def garbage(canary: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """A server that says what nobody understands, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(4096)
                        connection.sendall(b"what is " + canary.encode() + b"?\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        yield Trial({"port": port, "base_url": f"http://127.0.0.1:{port}", "sslmode": "disable"})
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def answering(answer: Callable[[str], Answer], **config: Any) -> Way:
    """An API whose answer depends on the credential that it was shown."""

    @contextmanager
    def way(canary: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
        with canary_server(lambda path: answer(canary)) as server:
            yield Trial({"base_url": server.url, **config})

    return way


def every_form(canary: str) -> str:
    """As a debugging server would print it."""
    return " ".join(forms_of(canary))


def forms_of(canary: str) -> list[str]:
    data = canary.encode()
    return [
            canary, quote(canary), quote(canary, safe=""), json.dumps(canary), repr(canary),
            repr(data), json.dumps(json.dumps(canary)), quote(quote(canary, safe=""), safe=""),
            base64.b64encode(data).decode(), base64.b64encode(b"user:" + data).decode(),
            base64.urlsafe_b64encode(b"x" + data).decode(), data.hex(), data.hex().upper(),
            data.decode("latin-1"), " ".join(canary.split()),
    ]  # fmt: skip


def one_line(canary: str) -> str:
    return quote(canary, safe="")


POSTGRES_WAYS: dict[str, Way] = {
    "no such host": simply({"host": "nowhere.invalid"}),
    "refused port": refused_port,
    "wrong password": simply({}),
    "no such database": simply({"database": "nothing_here"}),
    "no TLS": simply({"sslmode": "require"}),
    "bad TLS": simply({"sslmode": "verify-full"}),
    "egress": simply({}, EgressPolicy()),
    "bad field": simply({"host": "a,b"}),
    "garbage": garbage,
    "echo": echoing(lambda password: f"who is {password}?"),
    "echo in every form": echoing(every_form),
    "echo at the end of what is kept": echoing(lambda p: "x" * (1920 - len(p) // 2) + p),
    "exception with everything": quoting_driver,
}
REST_WAYS: dict[str, Way] = {
    "no such host": simply({"base_url": "http://nowhere.invalid"}),
    "refused port": refused_port,
    "no TLS": answering(lambda canary: (200, {}, b"[]"), base_url="https://127.0.0.1:1"),
    "egress": simply({"base_url": "http://127.0.0.1:1"}, EgressPolicy()),
    "bad field": simply({"base_url": "http://a@b"}),
    "garbage": garbage,
    "401 with an echo": answering(lambda c: (401, {"X-You": one_line(c)}, every_form(c).encode())),
    "404 with an echo": answering(lambda c: (404, {}, every_form(c).encode())),
    "no JSON": answering(lambda c: (200, {}, f"<html>{every_form(c)}".encode())),
    "columns that collide": answering(
        lambda c: (200, {}, json.dumps([{f"{c} ": 1, c: 2, c.upper(): 3}]).encode())
    ),
    "redirect away": answering(
        lambda c: (302, {"Location": f"http://127.0.0.9:1/?key={one_line(c)}"}, b"")
    ),
    "redirect to no host": answering(
        lambda c: (302, {"Location": f"http://{one_line(c)}@:x/{one_line(c)}"}, b"")
    ),
    "redirect for ever": answering(lambda c: (302, {"Location": f"/?key={one_line(c)}"}, b"")),
    "next page away": answering(
        lambda c: (
            200,
            {},
            json.dumps({"data": [{"id": 1}], "next": f"http://127.0.0.9:1/{c}"}).encode(),
        ),
        endpoint={"data_selector": "data", "paginator": "json_link", "next_selector": "next"},
    ),
}
REST_LOGINS: dict[str, dict[str, Any]] = {
    "bearer": {"auth": "bearer", "token": "{}"},
    "header": {"auth": "api_key", "api_key": "{}"},
    "query": {"auth": "api_key", "api_key": "{}", "api_key_location": "query"},
    "basic": {"auth": "basic", "user": "u", "password": "{}"},
}
WAYS: dict[str, Way] = {
    "no such host": simply({"host": "nowhere.invalid"}),
    "refused port": refused_port,
    "wrong password": simply({}),
    "no such database": simply({"database": "nothing_here"}),
    "no TLS": simply({"sslmode": "require"}),
    "bad TLS": simply({"sslmode": "verify-full"}),
    "egress": simply({}, EgressPolicy()),
    "bad field": simply({"host": "a,b"}),
    "garbage": garbage,
    "echo": echoing(lambda password: f"who is {password}?"),
    "echo in every form": echoing(every_form),
    "echo at the end of what is kept": echoing(lambda p: "x" * (1920 - len(p) // 2) + p),
    "exception with everything": quoting_driver,
}
REST_WAYS: dict[str, Way] = {
    "no such host": simply({"base_url": "http://nowhere.invalid"}),
    "refused port": refused_port,
    "no TLS": answering(lambda canary: (200, {}, b"[]"), base_url="https://127.0.0.1:1"),
    "egress": simply({"base_url": "http://127.0.0.1:1"}, EgressPolicy()),
    "bad field": simply({"base_url": "http://a@b"}),
    "garbage": garbage,
    "401 with an echo": answering(lambda c: (401, {"X-You": one_line(c)}, every_form(c).encode())),
    "404 with an echo": answering(lambda c: (404, {}, every_form(c).encode())),
    "no JSON": answering(lambda c: (200, {}, f"<html>{every_form(c)}".encode())),
    "columns that collide": answering(
        lambda c: (200, {}, json.dumps([{f"{c} ": 1, c: 2, c.upper(): 3}]).encode())
    ),
    "redirect away": answering(
        lambda c: (302, {"Location": f"http://127.0.0.9:1/?key={one_line(c)}"}, b"")
    ),
    "redirect to no host": answering(
        lambda c: (302, {"Location": f"http://{one_line(c)}@:x/{one_line(c)}"}, b"")
    ),
    "redirect for ever": answering(lambda c: (302, {"Location": f"/?key={one_line(c)}"}, b"")),
    "next page away": answering(
        lambda c: (
            200,
            {},
            json.dumps({"data": [{"id": 1}], "next": f"http://127.0.0.9:1/{c}"}).encode(),
        ),
        endpoint={"data_selector": "data", "paginator": "json_link", "next_selector": "next"},
    ),
}
REST_LOGINS: dict[str, dict[str, Any]] = {
    "bearer": {"auth": "bearer", "token": "{}"},
    "header": {"auth": "api_key", "api_key": "{}"},
    "query": {"auth": "api_key", "api_key": "{}", "api_key_location": "query"},
    "basic": {"auth": "basic", "user": "u", "password": "{}"},
}
WAYS: dict[str, dict[str, Way]] = {"postgres": POSTGRES_WAYS, "rest_api": REST_WAYS}

"""A REST API: pages, login, cursor, and errors in the tenant's words."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from datanika.contracts.shape import Filter, Mask
from datanika.contracts.spec import IncrementalCursor, TableSpec
from datanika.contracts.steps import ResolvedConnection
from tests.test_engines.steps import APPEND, LOCAL, MERGE, load, run, table
from tests.test_engines.targets import Target

# dlt drops the response of a failed or finished request without closing it. In an engine child the
# process ends; here the collector finds the socket, and has to do so while this file ignores it.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

ITEMS = [{"id": i, "name": f"item {i}", "tags": [i], "at": i // 2} for i in range(7)]


class Api:
    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = list(ITEMS)
        self.token = "t0ken-of-the-api"
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlparse(self.path)
                page = int(parse_qs(url.query).get("page", ["1"])[0])
                if self.headers.get("Authorization") != f"Bearer {api.token}":
                    self.send_error(401)
                elif url.path != "/v1/items":
                    self.send_error(404)
                else:
                    rows = api.items[(page - 1) * 3 : page * 3]
                    body: dict[str, Any] = {"data": rows, "next": None}
                    if page * 3 < len(api.items):
                        body["next"] = f"{api.url}/items?page={page + 1}"
                    data = json.dumps(body).encode()
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def connection(self, token: str | None = None, path: str = "items") -> ResolvedConnection:
        return ResolvedConnection(
            id=9,
            name="api",
            kind="rest_api",
            config={
                "base_url": self.url,
                "auth": "bearer",
                "token": token or self.token,
                "endpoints": [
                    {
                        "name": "items",
                        "path": path,
                        "data_selector": "data",
                        "paginator": "json_link",
                        "next_selector": "next",
                    }
                ],
            },
            secret_fields=("token", "password", "api_key"),
            egress=LOCAL,
        )


@pytest.fixture
def api() -> Iterator[Api]:
    served = Api()
    thread = threading.Thread(target=served.server.serve_forever, daemon=True)
    thread.start()
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join()
    gc.collect()


def test_all_pages_arrive_once(target: Target, api: Api) -> None:
    spec = table("items", "items", MERGE, ("id",))
    for _ in range(2):
        out = run(load(api.connection(), target.connection, spec))
        assert out.finished.failure is None
    assert target.query("SELECT id, name FROM raw.items ORDER BY id") == [
        (item["id"], item["name"]) for item in ITEMS
    ]


def test_incremental_append_of_an_endpoint_loads_nothing_twice(target: Target, api: Api) -> None:
    spec = table("items", "items", APPEND, cursor="at")
    first = run(load(api.connection(), target.connection, spec))
    api.items.append({"id": 7, "name": "late", "tags": [], "at": 3})
    second = run(load(api.connection(), target.connection, spec))
    third = run(load(api.connection(), target.connection, spec))
    assert [first.code, second.code, third.code] == [None, None, None]
    assert target.count("raw.items") == 8


def test_rows_are_filtered_and_hidden_as_they_arrive(target: Target, api: Api) -> None:
    spec = TableSpec(
        name="items",
        target="items",
        filters=(Filter(column="at", operator="gte", value=2),),
        hash=("name",),
        mask=(Mask(column="tags"),),
    )
    step = load(api.connection(), target.connection, spec)
    out = run(step.model_copy(update={"hash_key": "ab" * 32}))
    assert out.finished.failure is None
    rows = target.query("SELECT id, length(name), tags FROM raw.items ORDER BY id")
    assert rows == [(4, 64, "***"), (5, 64, "***"), (6, 64, "***")]


def test_a_lag_reads_the_last_units_of_a_number_again(target: Target, api: Api) -> None:
    cursor = IncrementalCursor(column="at", lag=2)
    spec = table("items", "items", MERGE, key=("id",)).model_copy(update={"cursor": cursor})
    run(load(api.connection(), target.connection, spec))
    # Late, and behind the highest value (3) by two.
    api.items.append({"id": 90, "name": "late", "tags": [], "at": 1})
    api.items.append({"id": 91, "name": "too late", "tags": [], "at": 0})
    assert run(load(api.connection(), target.connection, spec)).code is None
    assert target.query("SELECT id FROM raw.items WHERE id >= 90") == [(90,)]


def test_a_refused_token_is_said_and_not_shown(target: Target, api: Api) -> None:
    spec = table("items", "items")
    out = run(load(api.connection("wr0ng-token"), target.connection, spec))
    assert out.code == "authentication_failed"


def test_a_missing_path_is_a_terminal_failure(target: Target, api: Api) -> None:
    out = run(load(api.connection(path="nothing"), target.connection, table("items", "items")))
    assert out.code == "http_404"
    assert out.finished.failure is not None
    assert not out.finished.failure.transient

"""A REST source stays with its server, at an address that was judged."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datanika.contracts.egress import EgressPolicy, EgressRule, OwnService
from datanika.contracts.events import Failure
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.check import check_connection
from datanika.engines.failures import failure_of
from tests.support.canary import Answer, CanaryServer, FakeDns, canary_server
from tests.test_engines.resolver import use_dns
from tests.test_engines.steps import LOCAL, duckdb, load, run, table

# dlt drops the response of a failed request without closing it; see test_load_rest_api.py.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

GOOD = EgressPolicy(allow=(EgressRule.parse("127.0.0.2"),))
"""127.0.0.2 is the tenant's API; what listens on 127.0.0.1 must not be reached."""
TOKEN = "t0ken-of-the-tenant"


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def canary() -> Iterator[CanaryServer]:
    # An address of its own: whoever looks for an earlier test's port is no visitor.
    with canary_server(address="127.0.0.9") as server:
        yield server


def api(url: str, policy: EgressPolicy = GOOD, **config: Any) -> ResolvedConnection:
    endpoint = {"name": "items", "path": "items", **config.pop("endpoint", {})}
    return ResolvedConnection(
        id=9,
        name="api",
        kind="rest_api",
        config={
            "base_url": url,
            "auth": "bearer",
            "token": TOKEN,
            "endpoints": [endpoint],
            **config,
        },
        secret_fields=("token", "password", "api_key"),
        egress=policy,
    )


def read(connection: ResolvedConnection, folder: Path) -> Failure | None:
    """Load the endpoint into DuckDB; why it failed."""
    return run(load(connection, duckdb(folder), table("items", "items"))).finished.failure


def probed(connection: ResolvedConnection) -> Failure | None:
    try:
        check_connection(connection)
    except Exception as error:
        return failure_of(error)
    return None


def items(**more: Any) -> Answer:
    return 200, {}, json.dumps({"data": [{"id": 1}], **more}).encode()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "2130706433", "0x7f.1", "0177.0.0.1",
     "127.1", "api.example", "API.example.", "localhost", "127。0。0。1"],
)  # fmt: skip
def test_the_canary_sees_no_request_however_it_is_written(
    host: str, canary: CanaryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_dns(FakeDns(api_example=[["127.0.0.1"]]), monkeypatch)
    connection = api(f"http://{host}:{canary.port}/v1")
    for failure in (read(connection, tmp_path), probed(connection)):
        assert failure is not None
        assert failure.code in ("egress_refused", "host_refused", "connection_config_invalid")
        assert not failure.transient
    assert canary.untouched


def test_the_platforms_own_api_is_refused_where_loopback_is_open(
    canary: CanaryServer, tmp_path: Path
) -> None:
    own = LOCAL.model_copy(update={"own": (OwnService(host="127.0.0.1", port=canary.port),)})
    for host in ("127.0.0.1", "localhost"):
        failure = read(api(f"http://{host}:{canary.port}/", own), tmp_path)
        assert failure is not None
        assert failure.code == "egress_refused"
    assert canary.untouched


def test_a_name_that_changes_its_address_reaches_what_was_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first answer is allowed, every later one is the canary."""
    use_dns(FakeDns(api_example=[["127.0.0.2"], ["127.0.0.1"]]), monkeypatch)
    with (
        canary_server(lambda path: items(), address="127.0.0.2") as good,
        canary_server(address="127.0.0.1", port=good.port) as canary,
    ):
        assert read(api(f"http://api.example:{good.port}"), tmp_path) is None
        assert {headers["Host"] for _, headers in good.requests} == {f"api.example:{good.port}"}
        assert canary.untouched


Location = Callable[[int, int], str]
ELSEWHERE: dict[str, Location] = {
    "the canary": lambda good, canary: f"http://127.0.0.1:{canary}/items",
    "its decimal form": lambda good, canary: f"http://2130706433:{canary}/items",
    "its mapped form": lambda good, canary: f"http://[::ffff:127.0.0.1]:{canary}/items",
    "without a scheme": lambda good, canary: f"//127.0.0.1:{canary}/items",
    "behind a user name": lambda good, canary: f"http://127.0.0.2:{good}@127.0.0.1:{canary}/",
    "behind a backslash": lambda good, canary: f"http://127.0.0.1:{canary}\\@127.0.0.2:{good}/",
    "another name": lambda good, canary: f"http://other.example:{canary}/items",
    "another port": lambda good, canary: f"http://127.0.0.2:{canary}/items",
    "another scheme": lambda good, canary: f"https://127.0.0.2:{good}/items",
}


@pytest.mark.parametrize("where", ELSEWHERE)
@pytest.mark.parametrize("way", ["redirect", "json_link", "header_link"])
def test_neither_a_redirect_nor_a_next_page_leads_to_another_server(
    way: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_dns(FakeDns(other_example=[["127.0.0.1"]]), monkeypatch)
    with canary_server() as canary, canary_server(port=canary.port, address="127.0.0.2") as third:
        link = ""

        def answer(path: str) -> Answer:
            if way == "redirect":
                return 302, {"Location": link}, b""
            if way == "header_link":
                return 200, {"Link": f'<{link}>; rel="next"'}, b'{"data": [{"id": 1}]}'
            return items(next=link)

        with canary_server(answer, address="127.0.0.2") as good:
            link = ELSEWHERE[where](good.port, canary.port)
            paginator = "auto" if way == "redirect" else way
            # All of 127/8 and the other name are open: only the server's identity counts here.
            anywhere = EgressPolicy(networks=LOCAL.networks)
            selector = {"data_selector": "data", "paginator": paginator, "next_selector": "next"}
            failure = read(api(good.url, anywhere, endpoint=selector), tmp_path)
            assert failure is not None, where
            assert TOKEN not in failure.model_dump_json()
            if where != "behind a backslash":
                # Which host that is depends on who reads it; here it is the good one's.
                assert failure.code in ("other_host_refused", "host_refused")
        assert canary.untouched
        assert third.untouched


def test_pages_and_redirects_of_the_same_server_are_followed(tmp_path: Path) -> None:
    def answer(path: str) -> Answer:
        if path == "/items":
            return 302, {"Location": "/v2/items"}, b""
        if path == "/v2/items":
            return items(next="/v2/items?page=2")
        return items(next=None)

    with canary_server(answer, address="127.0.0.2") as good:
        selector = {"data_selector": "data", "paginator": "json_link", "next_selector": "next"}
        assert read(api(good.url, endpoint=selector), tmp_path) is None
        assert [line for line, _ in good.requests][-1] == "GET /v2/items?page=2"
        assert all(headers["Authorization"] for _, headers in good.requests)


def test_a_key_cannot_choose_another_site_of_the_server(tmp_path: Path) -> None:
    with canary_server(lambda path: items(), address="127.0.0.2") as good:
        login = {"auth": "api_key", "api_key": "internal.example", "api_key_name": "Host"}
        assert read(api(good.url, **login), tmp_path) is None
        assert {headers["Host"] for _, headers in good.requests} == {f"127.0.0.2:{good.port}"}


def test_the_environment_lends_no_proxy_and_no_password(
    canary: CanaryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.2 login me password of-the-machine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, canary.url)
    with canary_server(lambda path: items(), address="127.0.0.2") as good:
        assert read(api(good.url, auth="none"), tmp_path) is None
        assert not any("Authorization" in headers for _, headers in good.requests)
    assert canary.untouched


def test_redirects_without_end_end(tmp_path: Path) -> None:
    with canary_server(lambda path: (302, {"Location": "/items"}, b""), "127.0.0.2") as good:
        assert read(api(good.url), tmp_path) is not None
        assert len(good.requests) < 10

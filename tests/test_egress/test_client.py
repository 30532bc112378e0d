"""Webhooks: the server that must not be reached sees no connection, not even a refused one.

The canary listens on 127.0.0.1, which the policy of these tests refuses; 127.0.0.2 is allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from datanika.contracts.egress import EgressPolicy, EgressRule
from datanika.egress.client import egress_client, sync_egress_client
from datanika.errors import EgressRefused
from tests.support.canary import Answer, CanaryServer, FakeDns, canary_server
from tests.support.tls import certificate_for

POLICY = EgressPolicy(allow=(EgressRule.parse("127.0.0.2"),))


@pytest.fixture
def canary() -> Iterator[CanaryServer]:
    with canary_server() as server:
        yield server


async def post(url: str, dns: FakeDns | None = None, **options: object) -> httpx.Response:
    """By both clients, which must agree."""
    given = {"timeout": 5.0, "resolve": dns or FakeDns(), **options}
    with sync_egress_client(POLICY, **given) as blocking:  # type: ignore[arg-type]
        try:
            first: object = blocking.post(url, json={}).status_code
        except (EgressRefused, httpx.HTTPError) as error:
            first = type(error)
    async with egress_client(POLICY, **given) as client:  # type: ignore[arg-type]
        try:
            answer = await client.post(url, json={})
        except (EgressRefused, httpx.HTTPError) as error:
            assert first is type(error)
            raise
    assert first == answer.status_code
    return answer


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "[::ffff:127.0.0.1]",
     "[::ffff:7f00:1]", "[::1]", "[::]", "0.0.0.0", "0", "127.0.0.1.", "canary.example",
     "CANARY.example.", "user@127.0.0.1", "127.0.0.2@127.0.0.1", "127.0.0.2:pw@127.0.0.1",
     "127。0。0。1.example", "%31%32%37.0.0.1", "169.254.169.254"],
)  # fmt: skip
async def test_the_canary_sees_no_request_however_it_is_written(
    canary: CanaryServer, host: str
) -> None:
    dns = FakeDns(canary_example=[["127.0.0.1"]])
    dns.answers["127.0.0.1.example"] = [["127.0.0.1"]]
    with pytest.raises((EgressRefused, httpx.InvalidURL)):
        await post(f"http://{host}:{canary.port}/hook", dns)
    assert canary.untouched


async def test_a_name_that_changes_its_address_reaches_what_was_judged() -> None:
    """DNS rebinding: the first answer is allowed, every later one is the canary."""
    with (
        canary_server(address="127.0.0.2") as good,
        canary_server(address="127.0.0.1", port=good.port) as canary,
    ):
        for client in ("blocking", "asynchronous"):
            dns = FakeDns(hook_example=[["127.0.0.2"], ["127.0.0.1"]])
            url = f"http://hook.example:{good.port}/hook"
            if client == "blocking":
                with sync_egress_client(POLICY, resolve=dns) as one:
                    assert one.post(url).status_code == 200
            else:
                async with egress_client(POLICY, resolve=dns) as two:
                    assert (await two.post(url)).status_code == 200
        assert [line for line, _ in good.requests] == ["POST /hook"] * 2
        assert {headers["Host"] for _, headers in good.requests} == {f"hook.example:{good.port}"}
        assert canary.untouched


async def test_a_redirect_is_not_followed_and_is_judged_when_it_is(canary: CanaryServer) -> None:
    def away(path: str) -> Answer:
        return 307, {"Location": f"{canary.url}/hook"}, b""

    with canary_server(away, address="127.0.0.2") as good:
        assert (await post(f"{good.url}/hook")).status_code == 307
        async with egress_client(POLICY, resolve=FakeDns()) as client:
            with pytest.raises(EgressRefused):
                await client.post(f"{good.url}/hook", follow_redirects=True)
    assert canary.untouched


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    policy = EgressPolicy(allow=(EgressRule.parse("127.0.0.0/8"),))
    with canary_server(address="127.0.0.2") as good:
        dns = FakeDns(hook_example=[["127.0.0.3", "127.0.0.2"]])
        async with egress_client(policy, resolve=dns) as client:
            assert (await client.get(f"http://hook.example:{good.port}/")).status_code == 200


async def test_a_long_answer_is_not_read_to_its_end() -> None:
    with canary_server(lambda path: (200, {}, b"x" * 5000), address="127.0.0.2") as good:
        assert len((await post(good.url, max_bytes=5000)).content) == 5000
        with pytest.raises(EgressRefused) as refused:
            await post(good.url, max_bytes=4999)
        assert refused.value.code == "response_too_large"


async def test_a_small_answer_does_not_unpack_to_a_large_one() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)

    def packed(path: str) -> Answer:
        return 200, {"Content-Encoding": "gzip"}, bomb

    with canary_server(packed, address="127.0.0.2") as good:
        assert (await post(good.url)).content == bomb


async def test_a_name_without_an_address_is_a_connection_error() -> None:
    with pytest.raises(httpx.ConnectError):
        await post("http://nobody.example/", FakeDns(nobody_example=[[]]))


@pytest.mark.parametrize("url", ["ftp://127.0.0.2/", "file:///etc/passwd", "http:///x"])
async def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises((EgressRefused, httpx.UnsupportedProtocol)):
        await post(url)


async def test_the_certificate_is_the_names_not_the_addresss(tmp_path: Path) -> None:
    dns = FakeDns(hook_example=[["127.0.0.2"]], other_example=[["127.0.0.2"]])
    made = certificate_for("hook.example", tmp_path)
    with canary_server(address="127.0.0.2", tls=made.server) as good:
        answer = await post(f"https://hook.example:{good.port}/", dns, verify=made.client)
        assert answer.status_code == 200
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await post(f"https://other.example:{good.port}/", dns, verify=made.client)


async def test_a_proxy_of_the_environment_is_not_used(
    canary: CanaryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, canary.url)
    with canary_server(address="127.0.0.2") as good:
        assert (await post(good.url)).status_code == 200
    assert canary.untouched


async def test_a_server_that_drips_its_answer_does_not_hold_a_delivery() -> None:
    """Each byte comes in time; the whole does not."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.2", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with egress_client(POLICY, timeout=0.5) as client:
            started = time.monotonic()
            with pytest.raises(httpx.ReadTimeout):
                await client.post(f"http://127.0.0.2:{port}/")
            assert time.monotonic() - started < 5

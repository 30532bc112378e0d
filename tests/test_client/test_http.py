"""What the client sends again, how it waits, and what it makes of errors."""

from __future__ import annotations

import itertools
import json

import httpx
import pytest

from datanika.client.http import ATTEMPTS, Http
from datanika.client.run_stream import follow_run
from datanika.errors import AuthenticationError, LimitReached, Unavailable


def away(**headers: str) -> httpx.Response:
    problem = {"title": "", "status": 503, "code": "unavailable", "detail": "Wait."}
    return httpx.Response(503, json=problem, headers=headers)


class Server:
    """Gives the answers one after the other, and remembers what was asked."""

    def __init__(self, *answers: httpx.Response | None) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.slept: list[float] = []

    def http(self) -> Http:
        return Http("http://x", "t", 1.0, httpx.MockTransport(self._answer), self.slept.append)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if answer is None:
            raise httpx.ConnectError("refused")
        return answer


def test_a_post_is_sent_again_with_the_same_key_and_patience() -> None:
    server = Server(None, away(**{"Retry-After": "2"}), httpx.Response(201, json={}))
    assert server.http().request("POST", "connections", json={}) == b"{}"
    keys = {request.headers["idempotency-key"] for request in server.asked}
    assert len(server.asked) == 3 and len(keys) == 1
    assert server.slept[1] == 2


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT"])
def test_what_may_not_be_repeated_is_sent_once(method: str) -> None:
    server = Server(None, None)
    with pytest.raises(Unavailable):
        server.http().request(method, "pipelines/1")
    assert len(server.asked) == 1


def test_patience_ends() -> None:
    server = Server(*[None] * ATTEMPTS)
    with pytest.raises(Unavailable) as raised:
        server.http().request("GET", "runs")
    assert raised.value.code == "platform_unreachable" and len(server.asked) == ATTEMPTS
    server = Server(away(**{"Retry-After": "3600"}))
    with pytest.raises(Unavailable):
        server.http().request("GET", "runs")
    assert server.slept == []


def test_a_limit_is_told_from_other_conflicts() -> None:
    problem = {"title": "", "status": 409, "code": "limit_reached", "detail": "Enough."}
    with pytest.raises(LimitReached, match="Enough"):
        Server(httpx.Response(409, json=problem)).http().request("POST", "connections")


def test_who_waits_longer_says_so_to_the_transport() -> None:
    server = Server(httpx.Response(200, json={}))
    server.http().request("POST", "pipelines/1/runs", longer=60)
    assert server.asked[0].extensions["timeout"]["read"] == 61


def test_a_download_comes_in_pieces_or_as_an_error() -> None:
    server = Server(httpx.Response(200, content=b"a\nb\n"))
    assert b"".join(server.http().download("audit/export", {"format": "csv"})) == b"a\nb\n"
    for answer in (away(), None):
        with pytest.raises(Unavailable):
            list(Server(answer).http().download("audit/export", {}))


def _log(number: int) -> str:
    line = {"id": number, "at": "2026-03-01T06:00:00Z", "level": "info", "step_key": "load"}
    data = json.dumps(line | {"node": None, "message": f"a\u2028b {number}"}, ensure_ascii=False)
    return f"event: log\ndata: {data}\nid: {number}\n\n"


def _followed(server: Server) -> list[str]:
    events = follow_run(server.http(), "runs/1/events", None, wait=True)
    return [event.id for event in itertools.takewhile(lambda one: one.id != "4", events)]


def test_a_stream_that_breaks_is_taken_up_where_it_broke() -> None:
    broken = httpx.Response(200, text=_log(1) + ": ping\n\n" + _log(2) + _log(3)[:-1])
    rest = httpx.Response(200, text=_log(3) + _log(4))
    server = Server(broken, None, away(), rest)
    assert _followed(server) == ["1", "2", "3"]
    assert [one.url.params.get("after") for one in server.asked] == [None, "2", "2", "2"]
    assert len(server.slept) == 3


def test_patience_with_a_stream_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datanika.client.run_stream.PATIENCE_SECONDS", -1)
    with pytest.raises(Unavailable):
        _followed(Server(None))


def test_a_stream_that_the_server_ends_raises_why() -> None:
    problem = {"title": "", "status": 401, "code": "not_a_member", "detail": "You left."}
    server = Server(httpx.Response(200, text=f"event: error\ndata: {json.dumps(problem)}\n\n"))
    with pytest.raises(AuthenticationError) as raised:
        _followed(server)
    assert raised.value.code == "not_a_member"

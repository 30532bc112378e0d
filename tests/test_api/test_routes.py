"""A known path with another method is 405 and says what it knows; an unknown path is 404."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.application import application
from tests.test_api.conftest import Connect

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY")
SPEC = application().openapi()["paths"]


@pytest.mark.parametrize("path", SPEC)
async def test_an_unsupported_method_is_405_with_what_is_allowed(
    connect: Connect, path: str
) -> None:
    # `/connections/test` looks like `/connections/{connection_id}`, but is no connection.
    asked = re.sub(r"{[a-z_]+}", "1", path)
    known = {method.upper() for method in SPEC[path]}
    for method in METHODS:
        if method in known:
            continue
        answer = await connect().request(method, asked)
        assert answer.status_code == 405, f"{method} {path}"
        assert set(answer.headers["allow"].split(", ")) == known
        assert answer.headers["content-type"] == "application/problem+json"
        if method != "HEAD":
            assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/api/nothing", "/api/v1/runs/1/nothing", "/internal/v1/x"])
async def test_an_unknown_path_is_404_to_every_method(connect: Connect, path: str) -> None:
    for method in METHODS:
        answer = await connect().request(method, path)
        assert answer.status_code == 404
        assert "allow" not in answer.headers


async def test_a_path_with_several_routes_names_all_their_methods(api: httpx.AsyncClient) -> None:
    answer = await api.request("TRACE", "/api/v1/connections/1")
    assert answer.headers["allow"] == "DELETE, GET, PATCH"

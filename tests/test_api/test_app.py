"""What holds for every route: credentials, problems, headers, health."""

from __future__ import annotations

import secrets
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from datanika.config import settings
from datanika.db import dispose_engine
from tests.support.net import free_port
from tests.test_api.conftest import Connect


@pytest.mark.parametrize("path", ["/api/nothing", "/api/v1/nothing", "/internal/v1/nothing"])
async def test_an_unknown_path_is_a_problem_not_a_page(connect: Connect, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await connect().request(method, path)
        assert answer.status_code == 404
        assert answer.json()["code"] == "route_not_found"


async def test_every_answer_has_a_request_id_and_security_headers(connect: Connect) -> None:
    client = connect()
    given = await client.get("/healthz", headers={"X-Request-ID": "abc-123-def"})
    assert given.headers["x-request-id"] == "abc-123-def"
    refused = await client.get("/api/v1/runs", headers={"X-Request-ID": "<script>"})
    assert refused.headers["x-request-id"] == refused.json()["request_id"] != "<script>"
    for name in ("cache-control", "x-content-type-options", "content-security-policy"):
        assert name in refused.headers


async def test_a_wrong_input_names_its_field_and_never_quotes_it(api: httpx.AsyncClient) -> None:
    canary = secrets.token_hex(8)
    answer = await api.post("/api/v1/connections", json={"name": "x", "config": canary})
    assert answer.status_code == 422
    assert answer.json()["field"] in ("kind", "config")
    assert canary not in answer.text


async def test_what_is_no_id_is_not_found(api: httpx.AsyncClient) -> None:
    for name in ("0", "x", "None", 2**63):
        answer = await api.get(f"/api/v1/runs/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.json()["field"] == "run_id"


async def test_health_needs_nothing_and_readiness_the_database(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect()
    assert (await client.get("/readyz")).json()["database"] == "ok"
    await dispose_engine()
    away = f"postgresql://nobody:x@127.0.0.1:{free_port()}/nothing"
    monkeypatch.setattr(settings, "database_url", SecretStr(away))
    assert (await client.get("/healthz")).status_code == 200
    for path in ("/readyz", "/api/v1/runs"):
        answer = await client.get(path, headers={"Authorization": "Bearer dnk_x"})
        if path == "/readyz":
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert "nobody" not in answer.text
    await dispose_engine()


async def test_an_error_of_ours_is_a_500_without_its_words(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: Any) -> None:
        raise RuntimeError("the secret is forty-two")

    monkeypatch.setattr("datanika.services.readiness.get_session", explode)
    answer = await connect().get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "forty-two" not in answer.text
    assert answer.headers["x-request-id"]

"""Nothing that PostgreSQL cannot store reaches it, wherever in a body it is."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from datanika.api.openapi import operations
from tests.support.application import application
from tests.test_api.conftest import ANY

UNSTORABLE = ["a\0b", "\ud800", "x\udfff", float("inf"), float("nan")]
BODIES = [
    (method, path, operation["requestBody"]["content"]["application/json"]["example"])
    for path, method, operation in operations(application().openapi())
    if "x-permission" in operation
    # What is uploaded is bytes.
    and "application/json" in operation.get("requestBody", {}).get("content", {})
]


def places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every text and number in ``value``."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        if isinstance(one, dict | list):
            yield from places(one, (*where, key))
        else:
            yield (*where, key)


def changed(value: Any, where: tuple[Any, ...], to: Any) -> Any:
    """``value`` with ``to`` at ``where``."""
    value = copy.deepcopy(value)
    inside = value
    for key in where[:-1]:
        inside = inside[key]
    inside[where[-1]] = to
    return value


@pytest.mark.parametrize(("method", "path", "example"), BODIES, ids=lambda part: str(part)[:60])
async def test_what_cannot_be_stored_is_refused(
    api: httpx.AsyncClient, method: str, path: str, example: dict[str, Any]
) -> None:
    url = path.replace("{", "").replace("}", "")
    for name in [part.partition("}")[0] for part in path.split("{")[1:]]:
        url = url.replace(name, "1", 1)
    for where in places(example):
        for bad in UNSTORABLE:
            answer = await api.request(
                method,
                url,
                content=json.dumps(changed(example, where, bad)),
                headers={"Content-Type": "application/json", **ANY},
            )
            assert answer.status_code in (404, 422), f"{where} {bad!r}: {answer.text}"


@pytest.mark.parametrize("path", ["connections", "pipelines", "transformations"])
@pytest.mark.parametrize("name", ["search", "name"])
async def test_a_filter_with_nul_is_refused(api: httpx.AsyncClient, path: str, name: str) -> None:
    answer = await api.get(f"/api/v1/{path}", params={name: "a\0b"})
    assert (answer.status_code, answer.json()["field"]) == (422, name)


async def test_moments_at_the_edges_of_time_are_taken(api: httpx.AsyncClient) -> None:
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        answer = await api.get("/api/v1/runs", params={"created_after": moment})
        assert answer.status_code == 200, answer.text
    for moment in ("0", "2026-03-01", "2026-03-01T00:00:00"):
        answer = await api.get("/api/v1/runs", params={"created_after": moment})
        assert answer.status_code == 422, moment

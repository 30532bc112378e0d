"""The OpenAPI document is valid, complete, and pleasant to generate a client from."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from datanika.api.openapi import PROBLEM_JSON, TAGS, operations
from datanika.api.transaction import MEMBER, PERSON
from datanika.services.permissions import PERMISSIONS
from tests.support.application import application

DOCUMENT: dict[str, Any] = application().openapi()
OPERATIONS = {one["operationId"]: (path, method, one) for path, method, one in operations(DOCUMENT)}
BODIES = [
    pytest.param(content, id=f"{name} {kind}")
    for name, (_, _, one) in OPERATIONS.items()
    for kind, content in one.get("requestBody", {}).get("content", {}).items()
]


def test_operations_are_named_after_their_functions_once() -> None:
    assert len(OPERATIONS) == len(list(operations(DOCUMENT)))
    assert [name for name in OPERATIONS if not re.fullmatch("[a-z][a-z_]+", name)] == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_what_it_does_and_for_whom(name: str) -> None:
    path, _, operation = OPERATIONS[name]
    assert operation["summary"] and operation["description"]
    assert set(operation["tags"]) <= set(TAGS)
    if permission := operation.get("x-permission"):
        assert "Needs " in operation["description"]
        by_role = permission not in (MEMBER, PERSON)
        assert not by_role or f"`{permission}`" in operation["description"]
        assert not by_role or permission in PERMISSIONS
        assert operation["security"] == [{"bearer": []}, {"cookie": []}]
        assert {"401", "403", "429", "503"} <= set(operation["responses"])
    if "{" in path:
        assert "422" in operation["responses"]


@pytest.mark.parametrize("content", BODIES)
def test_the_example_of_a_body_is_one(content: dict[str, Any]) -> None:
    schema = content["schema"] | {"components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(content["example"])
    assert content["example"] != {}


def test_every_error_is_a_problem() -> None:
    for name, response in DOCUMENT["components"]["responses"].items():
        assert list(response["content"]) == [PROBLEM_JSON], name
    for name, (_, _, operation) in OPERATIONS.items():
        for status, response in operation["responses"].items():
            assert (int(status) >= 400) == ("$ref" in response), name


def test_every_reference_leads_somewhere() -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [one for inner in part.values() for one in references(inner)]
        return (
            [one for inner in part for one in references(inner)] if isinstance(part, list) else []
        )

    for reference in set(references(DOCUMENT)):
        found: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]


def test_changes_and_posts_have_their_headers() -> None:
    for name, (path, method, operation) in OPERATIONS.items():
        named = {
            one.get("name") or one["$ref"].rpartition("/")[2]
            for one in operation.get("parameters", [])
        }
        if path.startswith("/api/") and method == "post":
            assert "IdempotencyKey" in named, name
        if "If-Match" in named:
            assert {"412", "428"} <= set(operation["responses"]), name


async def test_the_document_is_served_to_everybody(api: httpx.AsyncClient) -> None:
    served = (await api.get("/api/v1/openapi.json")).json()
    assert served["paths"].keys() == DOCUMENT["paths"].keys()

"""The client has a method for every operation, which sends what the operation takes and reads what
it answers.

Every method is called with a value for each of its parameters, against a server that knows nothing
but the OpenAPI document: it accepts what the document allows, and answers what it promises.
"""

from __future__ import annotations

import datetime as dt
import enum
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import IO, Any, Literal, get_args, get_origin, get_type_hints

import httpx
import jsonschema
import pytest
from pydantic import BaseModel

from datanika.api.openapi import example_of, operations, resolved
from datanika.client import DatanikaClient
from datanika.client.resource import Resource
from tests.support.application import application

DOCUMENT: dict[str, Any] = application().openapi()
PREFIX = "/api/v1/"
NOT_FOR_PROGRAMS = {
    "POST auth/session": "A browser's cookie; programs have tokens.",
    "PUT auth/session": "A browser's cookie; programs have tokens.",
    "DELETE auth/session": "A browser's cookie; programs have tokens.",
    "GET auth/oidc/{provider}/start": "Sends a browser to the provider.",
    "GET auth/oidc/{provider}/callback": "The provider sends a browser here.",
    "POST account/providers/{provider}/link": "Starts a login at the provider in this browser.",
}
OPERATIONS = {
    f"{method.upper()} {path.removeprefix(PREFIX)}": operation
    for path, method, operation in operations(DOCUMENT)
    if path.startswith(PREFIX)
}
OF_SEVERAL = {
    "pipelines.find": "A list and a read; the command line's tests use it.",
    "connections.find": "The same.",
}
"""Methods that are not one operation."""
COMPUTED = {"cursor"}
"""Query parameters that no caller gives: a list asks for its next page with them."""


@dataclass
class Sent:
    """One request, as the document sees it."""

    name: str
    operation: dict[str, Any]
    query: set[str]
    body: dict[str, Any] | None
    headers: httpx.Headers


@dataclass
class DocumentedServer:
    """Accepts what the document allows; answers what it promises."""

    sent: list[Sent] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0].removeprefix(PREFIX)
        name, operation = next(
            (name, operation)
            for name, operation in OPERATIONS.items()
            if _matches(name, request.method, path)
        )
        kinds = operation.get("requestBody", {}).get("content", {"application/json": {}})
        is_json = "application/json" in kinds
        body = json.loads(request.content) if request.content and is_json else None
        self.sent.append(Sent(name, operation, set(request.url.params), body, request.headers))
        if "after" in request.url.params and name.endswith("/logs"):
            # A log is read until there is no more of it.
            ended = request.url.params["after"] != "7"
            return _answer(operation, empty=ended)
        return _answer(operation)


def _matches(name: str, method: str, path: str) -> bool:
    own, template = name.split(" ")
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
    return own == method and re.fullmatch(pattern, path) is not None


def _answer(operation: dict[str, Any], *, empty: bool = False) -> httpx.Response:
    status = next(status for status in operation["responses"] if status.startswith("2"))
    content = operation["responses"][status].get("content", {})
    if "text/event-stream" in content:
        return httpx.Response(int(status), text=content["text/event-stream"]["example"])
    if "application/json" not in content:
        return httpx.Response(int(status), content=b"{}\n" if content else b"")
    schema = resolved(DOCUMENT, content["application/json"]["schema"])
    answer = example_of(DOCUMENT, schema)
    if "next_cursor" in schema.get("properties", {}):
        item = example_of(DOCUMENT, schema["properties"]["items"]["items"])
        answer = {"items": [] if empty else [item], "next_cursor": None}
    return httpx.Response(int(status), json=answer)


def methods() -> Iterator[tuple[str, str]]:
    """Resource and method of everything that calls the server."""
    for resource, instance in vars(DatanikaClient("http://x")).items():
        if isinstance(instance, Resource):
            for name, _ in inspect.getmembers(type(instance), inspect.isfunction):
                if not name.startswith("_"):
                    yield resource, name


def value_of(annotation: Any) -> Any:
    """Something that a parameter so annotated takes; a thing rather than its id."""
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return next(iter(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        schema = annotation.model_json_schema(mode="validation")
        document = {"components": {"schemas": schema.pop("$defs", {})}}
        text = json.dumps([document, schema]).replace("#/$defs/", "#/components/schemas/")
        return annotation.model_validate(example_of(*json.loads(text)))
    return value_of(get_args(annotation)[0])


_SIMPLE: dict[Any, Any] = {
    int: 7,
    str: "text/of it",
    float: 1.5,
    bool: True,
    dt.datetime: dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
    IO[bytes]: b"id\n1\n",
}


@cache
def call(resource: str, method: str) -> tuple[list[Sent], Any]:
    """What is sent when every parameter is given, and what comes back."""
    server = DocumentedServer()
    with DatanikaClient("http://x", transport=httpx.MockTransport(server)) as client:
        function = getattr(getattr(client, resource), method)
        hints = get_type_hints(function)
        given = {
            name: _VALUES.get(name) or value_of(hints[name])
            for name in inspect.signature(function).parameters
            if name != "overwrite"
        }
        answer = function(**given)
        if isinstance(answer, Iterator):
            answer = list(answer)
    return server.sent, answer


_VALUES = {"email": "ada@example.com", "password": "correct horse battery staple"}
_VALUES |= {"new_password": _VALUES["password"], "current_password": _VALUES["password"]}
CALLS = {
    f"{resource}.{method}": (resource, method)
    for resource, method in methods()
    if f"{resource}.{method}" not in OF_SEVERAL
}


def test_every_operation_has_a_method() -> None:
    called = {
        sent.name for resource, method in CALLS.values() for sent in call(resource, method)[0]
    }
    assert called == OPERATIONS.keys() - NOT_FOR_PROGRAMS.keys()
    assert NOT_FOR_PROGRAMS.keys() < OPERATIONS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_method_takes_every_parameter_of_its_operation(name: str) -> None:
    sent = call(*CALLS[name])[0][0]
    parameters = [one for one in sent.operation.get("parameters", ()) if one.get("in") == "query"]
    assert sent.query == {one["name"] for one in parameters} - COMPUTED
    hints = hints_of(name)
    for one in parameters:
        if one["name"] == "sort":
            orders = next(each for each in get_args(hints["sort"]) if get_args(each))
            assert set(get_args(orders)) == set(one["schema"]["enum"])


@pytest.mark.parametrize("name", CALLS)
def test_a_method_sends_the_headers_of_its_operation(name: str) -> None:
    sent = call(*CALLS[name])[0][0]
    parameters = sent.operation.get("parameters", ())
    keyed = any(one.get("$ref", "").endswith("/IdempotencyKey") for one in parameters)
    assert ("idempotency-key" in sent.headers) == keyed
    if "idempotency_key" in hints_of(name):
        assert sent.headers["idempotency-key"] == _SIMPLE[str]
    changes = any(one.get("name") == "If-Match" for one in parameters)
    assert ("if-match" in sent.headers) == changes


@pytest.mark.parametrize("name", CALLS)
def test_a_method_sends_a_body_that_its_operation_allows(name: str) -> None:
    sent = call(*CALLS[name])[0][0]
    content = sent.operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        assert sent.body is None
        return
    schema = content["application/json"]["schema"]
    assert sent.body is not None
    jsonschema.validate(sent.body, {**schema, "components": DOCUMENT["components"]})
    if not any(is_model(one) for one in hints_of(name).values()):
        # Made of the method's arguments: none of the operation's is missing.
        schema = resolved(DOCUMENT, schema.get("anyOf", [schema])[0])
        assert sent.body.keys() == schema["properties"].keys()


@pytest.mark.parametrize("name", CALLS)
def test_what_a_method_answers_is_what_its_operation_does(name: str) -> None:
    sent, answer = call(*CALLS[name])
    operation = sent[0].operation
    status = next(status for status in operation["responses"] if status.startswith("2"))
    content = operation["responses"][status].get("content", {})
    if "text/event-stream" in content:
        assert [one.event for one in answer] == ["log", "end"]
        return
    if "application/json" not in content:
        assert answer in (None, [b"{}\n"])
        return
    promised = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    if isinstance(answer, list):
        [answer] = answer
        assert f"Page_{type(answer).__name__}_" == promised
    else:
        assert type(answer).__name__ == promised


def hints_of(name: str) -> dict[str, Any]:
    """The annotations of a method's parameters."""
    resource, method = CALLS[name]
    hints = get_type_hints(getattr(getattr(DatanikaClient("http://x"), resource), method))
    del hints["return"]
    return hints


def is_model(annotation: Any) -> bool:
    """Whether a parameter so annotated takes a contract."""
    if isinstance(annotation, type):
        return issubclass(annotation, BaseModel)
    return any(is_model(one) for one in get_args(annotation))

"""The OpenAPI document: what FastAPI knows, and what holds for every operation, said once.

Permissions, credentials, errors, idempotency keys, entity tags and rate limits are the same
everywhere: a router never describes them. Every body has an example, put together from those of
its fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from datanika.api.deps import SESSION_COOKIE
from datanika.api.transaction import MEMBER, PERMISSION, PERSON

Json = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
REF = "#/components/{}/{}"
PROBLEM_JSON = "application/problem+json"

DESCRIPTION = """\
Pipelines that load with dlt and transform with dbt, on Prefect.

**Credentials.** Send `Authorization: Bearer …` with an access token (`POST /api/v1/auth/login`) or
an API key (`dnk_…`). Another organisation's things answer 404, a missing permission 403.

**Lists** come in pages: give `next_cursor` as `?cursor=` until it is null.

**Two editors.** What can be changed has an `ETag`; `PATCH` and `PUT` name it in `If-Match` and are
refused with 412 if somebody was faster. `If-Match: *` overwrites.

**Sending twice.** A `POST` with an `Idempotency-Key` does its work once for a day: a repetition
gets the first answer, with `Idempotency-Replayed: true`.

**Errors** are `application/problem+json` with a stable `code`, a sentence, a `hint`, and `field`
where an input is at fault.
"""

TAGS = {
    "auth": "Sign-up, logins, tokens and sessions.",
    "account": "One's own account: address, password, second factor, logins, erasure.",
    "organization": "Organisations: switch, members, invitations, limits and usage.",
    "overview": "The organisation at a glance.",
    "connections": "Sources and destinations. Secrets go in and never come out.",
    "files": "Uploaded files, for connections of the kind `files`.",
    "transformations": "What the organisation wrote for dbt.",
    "projects": "The dbt project of a destination, as a whole.",
    "pipelines": "What is loaded and transformed, in which order, and the plan of it.",
    "schedules": "When pipelines run by themselves.",
    "queue": "Which runs wait, in which order they start, and for what.",
    "dependencies": "Which pipelines need which others, and what a run would wait for.",
    "runs": "Start, follow, cancel, retry.",
    "backfills": "Intervals of the past that are loaded again, a chunk a run.",
    "cursors": "How far incremental loads have come, and back again.",
    "catalog": "What exists in the destinations, and what it was made from.",
    "notifications": "Who is told when runs end: channels and deliveries.",
    "api keys": "Credentials for programs.",
    "audit": "Who did what.",
    "jobs": "Ad hoc jobs and their results.",
    "health": "Whether the process lives and can work.",
}
"""The order of the reference, and a line for each group."""

_ERRORS = {
    400: "The request is not HTTP or JSON that we can read.",
    401: "No credential, or one that is not valid.",
    403: "The role or key does not allow this.",
    404: "There is no such thing in this organisation.",
    409: "It collides with what exists, or a limit is reached.",
    412: "Somebody else changed it since you read it.",
    413: "The body is too long.",
    422: "The input is not valid; `field` says where.",
    428: "Say in `If-Match` which state you change.",
    429: "Too many requests: wait as long as `Retry-After` says.",
    503: "A part of the platform does not answer; try again after `Retry-After`.",
}

STATUS_OF = {
    HTTPStatus(status).phrase.title().replace(" ", "").replace("-", ""): status
    for status in _ERRORS
}
"""The status that each shared response of the document stands for, by its name there."""
_NAME_OF = {status: name for name, status in STATUS_OF.items()}

_STRING: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_HEADERS: dict[str, Json] = {
    "X-Request-ID": {"description": "Quote it when you ask about this request.", "schema": _STRING},
    "RateLimit-Limit": {"description": "Requests a minute.", "schema": _COUNT},
    "RateLimit-Remaining": {"description": "Requests left now.", "schema": _COUNT},
    "RateLimit-Reset": {"description": "Seconds until all of them are back.", "schema": _COUNT},
    "ETag": {"description": "The revision, for `If-Match`.", "schema": _STRING},
    "Idempotency-Replayed": {
        "description": "The answer of an earlier request with this key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": _COUNT},
    "WWW-Authenticate": {"description": "How to send a credential.", "schema": _STRING},
}
_LIMITED = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_OF_ERRORS = {401: ("WWW-Authenticate",), 429: ("Retry-After", *_LIMITED), 503: ("Retry-After",)}

_FORMATS = {"date-time": "2026-03-01T06:00:00Z", "date": "2026-03-01"}
"""Examples of strings that are not any text."""

_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key never does the work twice; a new one for every new request.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "example": "5f0c6c1e-nightly",
}
_NEEDED = {
    MEMBER: "a membership, or any API key",
    PERSON: "a login of a person, not an API key",
}


def install(app: FastAPI) -> None:
    """Let ``app.openapi()`` give the whole document."""

    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = completed(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    summary=app.summary,
                    description=DESCRIPTION,
                    routes=app.routes,
                    tags=[{"name": name, "description": text} for name, text in TAGS.items()],
                    servers=[{"url": "/", "description": "This platform"}],
                    license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
                )
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def completed(document: Json) -> Json:
    """``document`` with everything that its operations share."""
    components = document.setdefault("components", {})
    components["headers"] = _HEADERS
    components["parameters"] = {"IdempotencyKey": _IDEMPOTENCY_KEY}
    components["responses"] = {_NAME_OF[status]: _problem(status) for status in _ERRORS}
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "access token or API key (dnk_…)",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": SESSION_COOKIE,
            "description": "The session of a browser, on pages of this platform only.",
        },
    }
    for path, method, operation in operations(document):
        _complete(document, path, method, operation)
    for unused in ("HTTPValidationError", "ValidationError"):
        components.get("schemas", {}).pop(unused, None)
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and description of every operation."""
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield path, method, methods[method]


def _complete(document: Json, path: str, method: str, operation: Json) -> None:
    permission = operation.get(PERMISSION)
    operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
    if permission is not None:
        operation["security"] = [{"bearer": []}, {"cookie": []}]
        needed = _NEEDED.get(permission, f"`{permission}`")
        operation["description"] = f"{operation.get('description', '')}\n\nNeeds {needed}.".strip()
    api = path.startswith("/api/")
    parameters = operation.setdefault("parameters", [])
    for one in parameters:
        if one["in"] == "header":
            one["name"] = one["name"].title()
    if method == "post" and api:
        parameters[:] = [one for one in parameters if one["name"] != "Idempotency-Key"]
        parameters.append({"$ref": REF.format("parameters", "IdempotencyKey")})
    body = operation.get("requestBody")
    for content in (body or {}).get("content", {}).values():
        content.setdefault("example", example_of(document, content["schema"]))
    _answers(document, operation, method, api)
    if not parameters:
        del operation["parameters"]


def _answers(document: Json, operation: Json, method: str, api: bool) -> None:
    responses = operation["responses"]
    changes = any(one.get("name") == "If-Match" for one in operation["parameters"])
    errors = {int(status) for status in responses if int(status) >= HTTPStatus.BAD_REQUEST}
    errors -= {HTTPStatus.UNPROCESSABLE_ENTITY}
    if api:
        errors |= {401, 429, 503} if operation.get(PERMISSION) else {429, 503}
        if operation.get(PERMISSION):
            errors |= {403}
        if operation["parameters"] or "requestBody" in operation:
            errors |= {422}
        if "requestBody" in operation:
            errors |= {400, 413}
        if changes:
            errors |= {412, 428}
    for status in [status for status in responses if int(status) >= HTTPStatus.BAD_REQUEST]:
        del responses[status]
    for status, response in responses.items():
        names = ["X-Request-ID", *(_LIMITED if api else ())]
        if _is_versioned(document, response):
            names.append("ETag")
        if method == "post" and api:
            names.append("Idempotency-Replayed")
        headers = {name: {"$ref": REF.format("headers", name)} for name in names}
        response["headers"] = headers | response.get("headers", {})
        assert int(status) < HTTPStatus.BAD_REQUEST
    for status in sorted(errors):
        responses[str(int(status))] = {"$ref": REF.format("responses", _NAME_OF[status])}


def _is_versioned(document: Json, response: Json) -> bool:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return "revision" in resolved(document, schema).get("properties", {})


def _problem(status: int) -> Json:
    names = ("X-Request-ID", *_OF_ERRORS.get(status, ()))
    return {
        "description": _ERRORS[status],
        "headers": {name: {"$ref": REF.format("headers", name)} for name in names},
        "content": {PROBLEM_JSON: {"schema": {"$ref": REF.format("schemas", "Problem")}}},
    }


def resolved(document: Json, schema: Json) -> Json:
    """``schema``, or what its ``$ref`` points to."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def example_of(document: Json, schema: Json) -> Any:
    """A value that ``schema`` allows, from the examples and defaults in it.

    Objects have their required properties, those with an example of their own, and those that say
    which of several things they are.
    """
    for key in ("example", "const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("examples"):
        return schema["examples"][0]
    schema = resolved(document, schema)
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return example_of(document, schema[choice][0])
    kind = schema.get("type")
    if kind == "array":
        return [example_of(document, schema["items"])] if schema.get("minItems") else []
    if kind == "object" or "properties" in schema:
        required, fields = schema.get("required", []), schema.get("properties", {})
        shown = [
            name
            for name, one in fields.items()
            if name in required or one.get("examples") or "const" in one
        ]
        # A body that may be left out altogether: what it says then.
        shown = shown or [name for name, one in fields.items() if one.get("default") is not None]
        return {name: example_of(document, fields[name]) for name in shown}
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), "text")
    return {"integer": int(schema.get("minimum", 1)), "number": 1, "boolean": True}.get(
        str(kind), "text"
    )

"""Errors as ``application/problem+json`` (RFC 9457), and what every answer carries.

A driver's or a bug's own words never reach a client: they go to the log, under the request id.
"""

from __future__ import annotations

import logging
import re
import secrets
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datanika.contracts.api import Problem
from datanika.errors import Conflict, DatanikaError, InvalidInput, NotFound, PreconditionRequired

logger = logging.getLogger(__name__)

OURS = ("/api/", "/internal/", "/healthz", "/readyz", "/metrics")
"""Paths of this package; everything else on the port belongs to the UI."""

RETRY_AFTER_SECONDS = 2
EXTRA_HEADERS = "datanika.headers"
"""Key of an ASGI scope: headers that every answer to its request gets, errors too."""
_REQUEST_ID = "datanika.request_id"
_MOST_ERRORS = 50
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


def problem_of(scope: Scope, error: DatanikaError) -> Problem:
    """The error, about the request of ``scope``."""
    return Problem(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        code=error.code,
        detail=error.message,
        hint=error.hint,
        field=error.field,
        errors=error.context.get("errors"),
        request_id=scope.get(_REQUEST_ID),
    )


def problem_response(scope: Scope, error: DatanikaError) -> JSONResponse:
    """The error as the answer to the request of ``scope``."""
    headers = dict(error.context.get("headers", {}))
    retry_after = error.context.get("retry_after")
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        retry_after = RETRY_AFTER_SECONDS
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="datanika"'
    return JSONResponse(
        problem_of(scope, error).model_dump(exclude_none=True),
        status_code=error.status,
        headers=headers,
        media_type="application/problem+json",
    )


class RequestContext:
    """ASGI middleware: a request id and security headers on every answer, and no bare 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(OURS):
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given.decode() if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
        scope[_REQUEST_ID] = request_id
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name for name, _ in message.get("headers", [])}
                message["headers"] = [
                    *message.get("headers", []),
                    *(header for header in _HEADERS if header[0] not in present),
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in scope.get(EXTRA_HEADERS, {}).items()
                    ),
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            if started:
                raise
            logger.exception("request %s: %s", request_id, type(error).__name__)
            answer = problem_response(scope, DatanikaError())
            await answer(scope, receive, send_with_headers)


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error as a problem."""
    app.add_middleware(RequestContext)

    @app.exception_handler(DatanikaError)
    async def _ours(request: Request, error: DatanikaError) -> JSONResponse:
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            request_id = request.scope.get(_REQUEST_ID)
            logger.error("request %s: %s: %s", request_id, error.code, error.message)
        return problem_response(request.scope, error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(request.scope, invalid_request(error.errors()))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, DatanikaError):
            # FastAPI's word for whatever is raised while it reads the body.
            return await _ours(request, error.__cause__)
        if error.status_code == HTTPStatus.NOT_FOUND:
            return problem_response(request.scope, not_a_route(request.url.path))
        ours = DatanikaError(HTTPStatus(error.status_code).phrase, code="http_error")
        ours.status = error.status_code  # type: ignore[misc]
        answer = problem_response(request.scope, ours)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(IntegrityError)
    async def _collision(request: Request, error: IntegrityError) -> JSONResponse:
        logger.warning("request %s: %s", request.scope.get(_REQUEST_ID), type(error.orig).__name__)
        return problem_response(request.scope, Conflict())


def not_a_route(path: str) -> NotFound:
    """For a path that nothing serves."""
    return NotFound(f"There is nothing at {path}.", code="route_not_found")


def invalid_request(errors: Any) -> DatanikaError:
    """Pydantic's errors, without the input, which may be a secret. ``field`` is the first's."""
    found = [
        {"field": _field(error), "code": str(error["type"]), "message": str(error["msg"])}
        for error in errors[:_MOST_ERRORS]
    ]
    first = found[0]
    if first["code"] == "missing" and first["field"].lower() == "if-match":
        return PreconditionRequired(
            "Say which state of it you change.",
            hint='Send If-Match with the ETag of what you read ("3"), or * to overwrite it.',
            field="If-Match",
        )
    if errors[0]["loc"][:1] == ("path",):
        # What no thing can be called is called by nobody: the same answer as for an unused id.
        return NotFound(f"{first['field']}: {first['message']}", field=first["field"])
    return InvalidInput(
        f"{first['field'] or 'body'}: {first['message']}",
        field=first["field"] or None,
        errors=found,
    )


def _field(error: Any) -> str:
    """The dotted path of what is wrong, without where in the request it was."""
    path = [str(part) for part in error["loc"]]
    return ".".join(
        path[1:] if path[:1] and path[0] in ("body", "query", "path", "header") else path
    )

"""What the UI's plain forms need: bodies as a form or as JSON, redirects, the cookie."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Request, Response, status
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.api.deps import SESSION_COOKIE
from datanika.api.problems import invalid_request
from datanika.config import settings
from datanika.contracts.events import utcnow
from datanika.errors import DatanikaError
from datanika.services.login_sessions import BrowserSession

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


async def form_fields(request: Request) -> dict[str, str] | None:
    """The fields of a browser's form; None for a JSON body."""
    if request.headers.get("content-type", "").startswith(_JSON):
        return None
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))


async def read_body[Model: BaseModel](
    request: Request, model: type[Model], fields: dict[str, str] | None
) -> Model:
    """The body: ``fields`` where it was a form. Raises :class:`InvalidInput`."""
    try:
        if fields is None:
            return model.model_validate_json(await request.body())
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid_request(error.errors(include_input=False)) from None


def json_or_form(model: type[BaseModel]) -> dict[str, Any]:
    """``openapi_extra`` of a route that takes ``model`` either way."""
    schema = _whole(model.model_json_schema())
    content = {kind: {"schema": schema} for kind in (_JSON, _FORM)}
    return {"requestBody": {"required": True, "content": content}}


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` without references: its ``$defs`` would be sought in the whole document."""
    known = schema.pop("$defs", {})

    def inlined(part: Any) -> Any:
        if isinstance(part, list):
            return [inlined(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            rest = {key: value for key, value in part.items() if key != "$ref"}
            return {**inlined(known[part["$ref"].rpartition("/")[2]]), **rest}
        return {key: inlined(value) for key, value in part.items()}

    return {key: inlined(value) for key, value in schema.items()}


async def answer_form[Body: BaseModel](
    request: Request,
    session: AsyncSession,
    model: type[Body],
    work: Callable[[Body], Awaitable[BaseModel | None]],
    *,
    success: int,
    done: str,
    failed: str,
) -> Response:
    """Do ``work`` with the body. JSON is answered with ``success`` and what ``work`` gave; a form's
    browser is sent to the page ``done``, or to ``failed`` with its token and the code of what was
    wrong."""
    fields = await form_fields(request)
    try:
        body = await read_body(request, model, fields)
        async with session.begin_nested():
            answer = await work(body)
    except DatanikaError as error:
        if fields is None:
            raise
        kept = {"token": fields["token"]} if "token" in fields else {}
        query = urlencode(kept | {"error": error.code})
        return RedirectResponse(f"{failed}?{query}", status.HTTP_303_SEE_OTHER)
    if fields is not None:
        return RedirectResponse(done, status.HTTP_303_SEE_OTHER)
    if answer is None:
        return Response(status_code=success)
    return JSONResponse(answer.model_dump(mode="json"), success)


def set_session_cookie(answer: Response, opened: BrowserSession) -> None:
    """Give the browser its session: no script can read it."""
    answer.set_cookie(
        SESSION_COOKIE,
        opened.token,
        max_age=max(0, int((opened.expires_at - utcnow()).total_seconds())),
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings.public_url.startswith("https://"),
    )

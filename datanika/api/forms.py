"""What the UI's plain forms need: bodies as a form or as JSON, local redirects, the cookie."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from datanika.api.deps import SESSION_COOKIE
from datanika.api.problems import invalid_request
from datanika.config import settings
from datanika.contracts.events import utcnow
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
    schema = model.model_json_schema()
    content = {kind: {"schema": schema} for kind in (_JSON, _FORM)}
    return {"requestBody": {"required": True, "content": content}}


def local_path(path: str) -> str:
    """``path`` if it stays on this site, else the first page."""
    stays = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if stays and path.isprintable() else "/"


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

"""Where somebody ends when the platform failed: a page, or a notice, with an id for the log."""

from __future__ import annotations

import html
import logging
import re
import secrets
from collections.abc import Mapping

from reflex.event import EventSpec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datanika.i18n import LOCALES, direction, load_translations, negotiate
from datanika.ui.session import cookie
from datanika.ui.state.i18n import LOCALE_COOKIE
from datanika.ui.state.tenant import TenantState

logger = logging.getLogger(__name__)

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PAGE = """<!doctype html>
<html lang="{locale}" dir="{direction}">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Datanika</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center;
    min-height: 90vh; margin: 0; padding: 24px; text-align: center; }}
  h1 {{ font-size: 24px; }} code {{ font-size: 15px; }}
</style>
<main><h1>{title}</h1><p>{text}</p><p>{label} <code dir="ltr">{request_id}</code></p></main>
"""


class FailurePages:
    """ASGI middleware: every answer has an id, and what breaks is a page that says it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        given = headers.get("x-request-id", "")
        request_id = given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
        started = False

        async def with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name.lower() for name, _ in message.get("headers", [])}
                # The API gives its own answers their ids.
                if b"x-request-id" not in present:
                    if message["status"] == 404:
                        logger.info("request %s: no page at %s", request_id, scope["path"])
                    header = (b"x-request-id", request_id.encode())
                    message["headers"] = [*message.get("headers", []), header]
            await send(message)

        try:
            await self.app(scope, receive, with_id)
        except Exception as error:
            if started:
                raise
            logger.exception("request %s: %s", request_id, type(error).__name__)
            body = failure_page(headers, request_id).encode()
            await with_id(
                {
                    "type": "http.response.start",
                    "status": 500,
                    "headers": [
                        (b"content-type", b"text/html; charset=utf-8"),
                        (b"content-length", str(len(body)).encode()),
                    ],
                }
            )
            await send({"type": "http.response.body", "body": body})


def failure_page(headers: Mapping[str, str], request_id: str) -> str:
    """The page in the language of whoever asked; it needs nothing that may be broken, too."""
    chosen = cookie(headers, LOCALE_COOKIE) or ""
    locale = chosen if chosen in LOCALES else negotiate(headers.get("accept-language", ""))
    texts = load_translations(locale)
    return _PAGE.format(
        locale=locale,
        direction=direction(locale),
        title=html.escape(texts["failure.title"]),
        text=html.escape(texts["failure.text"]),
        label=html.escape(texts["failure.request"]),
        request_id=html.escape(request_id),
    )


def tell_of_failure(exception: Exception) -> EventSpec:
    """For an event handler that raised what it should not: the log gets all, the user an id."""
    reference = secrets.token_hex(8)
    logger.error("event %s: %s", reference, type(exception).__name__, exc_info=exception)
    return TenantState.show_failure(reference)

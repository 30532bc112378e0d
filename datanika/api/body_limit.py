"""A request body has an end: one that is too long is refused before it fills the memory."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datanika.api.problems import OURS, problem_response
from datanika.config import settings
from datanika.errors import BodyTooLarge

UPLOADS = "/api/v1/files"


class BodyLimit:
    """ASGI middleware: :class:`BodyTooLarge` for a body over ``DATANIKA_MAX_BODY_BYTES``, and for
    an uploaded file over ``DATANIKA_MAX_UPLOAD_BYTES``.

    A body that says its length is refused unread. One that does not (chunked) is counted, and the
    error is raised where the application reads it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(OURS):
            await self.app(scope, receive, send)
            return
        limit = _limit(scope)
        if _declared(scope) > limit:
            await problem_response(scope, _too_large(limit))(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise _too_large(limit)
            return message

        await self.app(scope, counted, send)


def _limit(scope: Scope) -> int:
    """An upload is written to the disk as it comes, so it may be longer."""
    if scope["path"] == UPLOADS and scope["method"] == "POST":
        return settings.max_upload_bytes
    return settings.max_body_bytes


def _declared(scope: Scope) -> int:
    """Content-Length; 0 where there is none or none that is a number."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The request is longer than {limit} bytes.",
        hint="Send less at once; the operator sets DATANIKA_MAX_BODY_BYTES, and "
        "DATANIKA_MAX_UPLOAD_BYTES for files.",
    )

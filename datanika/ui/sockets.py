"""Who may open the websocket: pages of this site only."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import reflex as rx

from datanika.ui.reflex_config import DEV_ORIGINS, is_development


def is_same_origin(origin: str | None, environ: dict[str, Any]) -> bool:
    """Whether a handshake's ``Origin`` is the host it was sent to.

    Browsers send the header with every handshake, and cookies with it: without this check any
    page that a user visits could act in the user's session. Programs without a browser send
    none and have no cookie to lose.
    """
    if not origin:
        return True
    if is_development() and origin in DEV_ORIGINS:
        return True
    return urlsplit(origin).netloc == environ.get("HTTP_HOST")


def allow_same_origin_only(app: rx.App) -> None:
    """Replace Reflex's own choice, which is everybody or nobody's check."""
    app.sio.eio.cors_allowed_origins = is_same_origin

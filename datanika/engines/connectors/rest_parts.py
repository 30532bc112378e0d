"""Small parts of which APIs are made: ways to log in, to page, to write a moment, to refuse."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from datanika.errors import StepError, TerminalStepError, TransientStepError

DOMAIN = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
"""One label of a host: what a vendor calls a site, shop or subdomain."""
ID = r"^[A-Za-z0-9_-]{1,100}$"


def bearer(token: str) -> dict[str, Any]:
    return {"type": "bearer", "token": token}


def basic(user: str, password: str) -> dict[str, Any]:
    return {"type": "http_basic", "username": user, "password": password}


def key_header(name: str, key: str) -> dict[str, Any]:
    return {"type": "api_key", "name": name, "api_key": key, "location": "header"}


def cursor(path: str, param: str) -> dict[str, Any]:
    """The next page's cursor is in the answer, and goes into a query parameter."""
    return {"type": "cursor", "cursor_path": path, "cursor_param": param}


def body_cursor(path: str, body_path: str) -> dict[str, Any]:
    """The same, in the request's body."""
    return {"type": "cursor", "cursor_path": path, "cursor_body_path": body_path}


def offset(limit: int, param: str = "offset", limit_param: str = "limit") -> dict[str, Any]:
    """Until a page is empty."""
    return {
        "type": "offset", "limit": limit, "offset_param": param, "limit_param": limit_param,
        "total_path": None,
    }  # fmt: skip


def pages(param: str = "page") -> dict[str, Any]:
    """Numbered from 1, until one is empty."""
    return {"type": "page_number", "base_page": 1, "page_param": param, "total_path": None}


def moment(value: Any) -> dt.datetime:
    """A cursor's value as a moment; without a zone it is UTC."""
    if isinstance(value, int | float):
        return dt.datetime.fromtimestamp(value, dt.UTC)
    found = dt.datetime.fromisoformat(str(value))
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def unix(value: Any) -> int:
    """Whole seconds since 1970: rounded down, so that nothing is left out."""
    return int(moment(value).timestamp())


def zulu(value: Any) -> str:
    """``2024-01-01T00:00:00Z``, rounded down."""
    return moment(value).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(value: Any) -> str:
    """``2024-01-01``."""
    return moment(value).astimezone(dt.UTC).strftime("%Y-%m-%d")


def login_refused(detail: str) -> StepError:
    return TerminalStepError(
        f"The API refused the login ({detail}).",
        code="authentication_failed",
        hint="Correct the connection's token, key or password.",
    )


def rate_limited(detail: str) -> StepError:
    return TransientStepError(
        f"The API's rate limit is used up ({detail}).",
        code="rate_limited",
        hint="Run it again later, or less often.",
    )


def api_refused(detail: str) -> StepError:
    return TerminalStepError(f"The API refused the request ({detail}).", code="api_refused")


def error_name(found: dict[str, Any]) -> str | None:
    """What an answer calls its error: a word of a list, never a text that repeats what was sent."""
    error = found.get("error")
    return error if isinstance(error, str) and re.fullmatch(r"[a-z_]{1,60}", error) else None


def answer(response: Any) -> dict[str, Any]:
    """A JSON object, or an empty one for whatever else came."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

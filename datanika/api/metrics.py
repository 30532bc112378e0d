"""``/metrics`` for Prometheus, and the middleware that counts requests."""

from __future__ import annotations

import hmac
import ipaddress
import time
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datanika.api.deps import bearer_token
from datanika.api.problems import OURS
from datanika.api.routes import RouteTable
from datanika.config import settings
from datanika.errors import AuthenticationError, PermissionDenied
from datanika.services.metrics import REGISTRY, REQUEST_SECONDS, REQUESTS, refresh
from datanika.services.queue_metrics import refresh_queue

router = APIRouter(tags=["health"])
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_OTHER = "other"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."},
        401: {"description": "The token is not `DATANIKA_METRICS_TOKEN`."},
        403: {"description": "No token is configured, and you ask from another machine."},
    },
)
async def metrics(request: Request) -> Response:
    """Figures about the platform, for its operator; nothing about any organisation."""
    check_scraper(request)
    await refresh()
    await refresh_queue()
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


def check_scraper(request: Request) -> None:
    """With a token configured it is needed; without one only this machine may ask.

    Raises :class:`AuthenticationError` or :class:`PermissionDenied`.
    """
    if settings.metrics_token is not None:
        given = (bearer_token(request) or "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, settings.metrics_token.get_secret_value().encode()):
            raise AuthenticationError(
                "This is not the metrics token.",
                code="metrics_token_invalid",
                hint="Send Authorization: Bearer <DATANIKA_METRICS_TOKEN>.",
            )
    elif not _is_this_machine(request):
        raise PermissionDenied(
            "Metrics are for this machine only.",
            code="metrics_local_only",
            hint="The operator can set DATANIKA_METRICS_TOKEN and scrape with it.",
        )


def _is_this_machine(request: Request) -> bool:
    """Whether the client is on loopback, and no proxy speaks for somebody else."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class RequestMetrics:
    """ASGI middleware: counts and times the requests of this package's paths."""

    def __init__(self, app: ASGIApp, table: RouteTable) -> None:
        self.app = app
        self._table = table
        # The children of the metrics: looking one up by its labels costs more than counting.
        self._known: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(OURS):
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(scope, status, time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, seen)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        key = (method, self._table.template(scope) or _OTHER, status)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (
                REQUESTS.labels(*key),
                REQUEST_SECONDS.labels(*key[:2]),
            )
        known[0].inc()
        known[1].observe(seconds)

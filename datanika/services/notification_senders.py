"""One message to one channel. What went wrong comes back in our own words: no URL, no header and
no answer of the receiver, any of which may hold a secret, reaches a record or a log."""

from __future__ import annotations

import datetime as dt
import json
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from smtplib import SMTPException
from typing import Any

import httpx

from datanika import __version__
from datanika.config import settings
from datanika.contracts.events import utcnow
from datanika.contracts.notifications import ChannelKind, Notification, text_of
from datanika.contracts.webhooks import (
    EVENT_HEADER,
    EVENT_ID_HEADER,
    SIGNATURE_HEADER,
    sign_webhook,
)
from datanika.egress.client import AsyncPinnedTransport
from datanika.egress.guard import EgressGuard, system_resolve
from datanika.errors import DatanikaError, EgressRefused
from datanika.services.egress_policy import current_policy
from datanika.services.mail import send_note
from datanika.services.notification_service import PREVIOUS, PREVIOUS_UNTIL, SIGNING

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
TELEGRAM_CHARACTERS = 4096

resolve = system_resolve


@dataclass(frozen=True, slots=True)
class Message:
    """``payload`` is a :class:`Notification` as JSON; ``secrets`` opens the channel's."""

    kind: ChannelKind
    config: dict[str, Any]
    secrets: Callable[[], dict[str, Any]] = field(repr=False)
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """``error`` is None when it was taken. ``final``: trying again would be refused again."""

    status_code: int | None = None
    error: str | None = None
    final: bool = False


async def send(message: Message) -> Sent:
    """Send it, once. Raises nothing: whatever goes wrong is in the answer."""
    try:
        secrets = message.secrets()
        if message.kind is ChannelKind.EMAIL:
            return await _mail(message)
        return await _post(_REQUESTS[message.kind](message, secrets))
    except EgressRefused as error:
        return Sent(error=error.message, final=True)
    except httpx.TimeoutException:
        return Sent(error=f"The receiver did not answer within {TIMEOUT_SECONDS:.0f} s.")
    except httpx.ConnectError as error:
        return Sent(error=_why_no_connection(error))
    except httpx.TransportError:
        return Sent(error="The connection to the receiver broke.")
    except DatanikaError as error:
        return Sent(error=error.message)
    except Exception as error:
        logger.error("A notification could not be sent: %s", type(error).__name__)
        return Sent(error="The message could not be sent: an error of the platform.")


async def _mail(message: Message) -> Sent:
    text = text_of(Notification.model_validate(message.payload))
    try:
        await send_note(message.config["to"], f"Datanika: {text.splitlines()[0][:150]}", text)
    except (OSError, SMTPException) as error:
        logger.warning("A notification was not mailed: %s", type(error).__name__)
        return Sent(error="The mail server did not take the message.")
    return Sent()


def webhook_request(message: Message, secrets: dict[str, Any]) -> httpx.Request:
    """The signed request, signed now."""
    body = json.dumps(message.payload, separators=(",", ":")).encode()
    return httpx.Request(
        "POST",
        message.config["url"],
        content=body,
        headers={
            **_HEADERS,
            SIGNATURE_HEADER: sign_webhook(_signing_keys(secrets), body, int(time.time())),
            EVENT_HEADER: message.payload["event"],
            EVENT_ID_HEADER: message.payload["event_id"],
        },
    )


def slack_request(message: Message, secrets: dict[str, Any]) -> httpx.Request:
    """Slack's incoming webhook; in its text &, < and > mean something."""
    text = text_of(Notification.model_validate(message.payload))
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, name)
    return httpx.Request("POST", secrets["webhook_url"], json={"text": text}, headers=_HEADERS)


def telegram_request(message: Message, secrets: dict[str, Any]) -> httpx.Request:
    """The Bot API's sendMessage, as plain text."""
    text = text_of(Notification.model_validate(message.payload))
    return httpx.Request(
        "POST",
        f"{settings.telegram_api_url.rstrip('/')}/bot{secrets['bot_token']}/sendMessage",
        json={"chat_id": message.config["chat_id"], "text": text[:TELEGRAM_CHARACTERS]},
        headers=_HEADERS,
    )


_HEADERS = {"User-Agent": f"Datanika/{__version__}", "Content-Type": "application/json"}
_REQUESTS = {
    ChannelKind.WEBHOOK: webhook_request,
    ChannelKind.SLACK: slack_request,
    ChannelKind.TELEGRAM: telegram_request,
}


def _signing_keys(secrets: dict[str, Any], now: dt.datetime | None = None) -> list[str]:
    keys = [secrets[SIGNING]]
    until = secrets.get(PREVIOUS_UNTIL)
    if until is not None and dt.datetime.fromisoformat(until) > (now or utcnow()):
        keys.append(secrets[PREVIOUS])
    return keys


async def _post(request: httpx.Request) -> Sent:
    guard = EgressGuard(await current_policy(), resolve)
    # Not a client: that would log the URL, which is a secret of Slack's and Telegram's.
    transport = AsyncPinnedTransport(guard, timeout=TIMEOUT_SECONDS, verify=_certificates())
    async with transport:
        response = await transport.handle_async_request(request)
        await response.aclose()
    status = response.status_code
    if 200 <= status < 300:
        return Sent(status)
    if 300 <= status < 400:
        return Sent(status, f"The receiver answered {status}; redirects are not followed.")
    return Sent(status, f"The receiver answered {status}.", final=status == HTTPStatus.GONE.value)


@cache
def _certificates() -> ssl.SSLContext:
    # Reading them takes as long as a request.
    return httpx.create_ssl_context(trust_env=False)


def _why_no_connection(error: httpx.ConnectError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "The receiver's certificate or encryption is not valid."
        cause = cause.__cause__ or cause.__context__
    return "The receiver cannot be reached: it has no address, or nothing listens there."

"""Mails to people: composed in their language, sent after the request was answered.

Through the SMTP server of the settings; without one they land as ``.eml`` files in the folder
``mail`` of the data folder, where ``datanika up`` sees them and shows their link.
"""

from __future__ import annotations

import asyncio
import html
import json
import logging
import secrets
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlencode

from datanika.config import settings
from datanika.contracts.enums import Locale
from datanika.contracts.events import utcnow

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 20.0

Kind = Literal[
    "verify_email",
    "already_registered",
    "reset_password",
    "change_email",
    "email_changed",
    "password_changed",
    "invitation",
]
_RIGHT_TO_LEFT: Final = frozenset({Locale.AR})


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to be. ``path`` and ``query`` make its link, which may hold a token."""

    kind: Kind
    to: str
    locale: str = "en"
    values: Mapping[str, str] = field(default_factory=dict)
    """What the text names in braces."""
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def link(self) -> str:
        """The address of the button."""
        query = f"?{urlencode(self.query)}" if self.query else ""
        return f"{settings.public_url.rstrip('/')}{self.path}{query}"


@cache
def mail_texts(locale: str) -> dict[str, dict[str, str]]:
    """Kind -> ``subject``, ``text`` and ``button`` in a language; treat it as read-only."""
    text = files("datanika.services").joinpath(f"mail_texts/{locale}.json").read_text("utf-8")
    texts: dict[str, dict[str, str]] = json.loads(text)
    return texts


def compose(mail: Mail) -> EmailMessage:
    """Plain text and the same as simple HTML; nothing is loaded from anywhere."""
    locale = mail.locale if mail.locale in set(Locale) else Locale.EN
    texts = mail_texts(locale)
    own, common = texts[mail.kind], texts["common"]
    paragraphs = [part.format_map(mail.values) for part in own["text"].split("\n\n")]
    message = _addressed(str(Address(addr_spec=mail.to)), own["subject"].format_map(mail.values))
    button = own.get("button")
    plain = [*paragraphs, *([f"{button}: {mail.link}"] if button else []), common["footer"]]
    message.set_content("\n\n".join(plain) + "\n")
    direction = "rtl" if locale in _RIGHT_TO_LEFT else "ltr"
    body = "".join(f"<p>{html.escape(text)}</p>" for text in paragraphs)
    if button:
        body += f'<p><a href="{html.escape(mail.link)}">{html.escape(button)}</a></p>'
    message.add_alternative(
        f'<!doctype html><html lang="{locale}" dir="{direction}"><body>{body}'
        f"<p><small>{html.escape(common['footer'])}</small></p></body></html>",
        subtype="html",
    )
    return message


async def send_mail(mail: Mail) -> bool:
    """Compose and send in a thread; whether it went. A failure is logged without the link."""
    try:
        await asyncio.to_thread(lambda: _deliver(compose(mail), mail.kind))
    except Exception as error:
        # Whatever it was: the request was answered. Its words may quote the message and its link.
        logger.error("The mail %s was not sent: %s", mail.kind, type(error).__name__)
        return False
    return True


async def send_note(to: Sequence[str], subject: str, text: str) -> None:
    """Send a plain text to some addresses. Raises what the mail server or the disk says."""
    message = _addressed(", ".join(to), subject)
    message.set_content(text + "\n")
    await asyncio.to_thread(_deliver, message, "note")


def _addressed(to: str, subject: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject
    name, sender = parseaddr(settings.mail_from)
    message["From"] = Address(name, addr_spec=sender)
    message["To"] = to
    message["Date"] = format_datetime(utcnow())
    message["Message-ID"] = make_msgid(domain=sender.partition("@")[2] or "localhost")
    message["Auto-Submitted"] = "auto-generated"
    return message


def _deliver(message: EmailMessage, kind: str) -> None:
    if settings.smtp_host is None:
        _store(message, kind, settings.mail_folder)
    else:
        _submit(message, settings.smtp_host)


def _submit(message: EmailMessage, host: str) -> None:
    context = ssl.create_default_context()
    port, timeout = settings.smtp_port, TIMEOUT_SECONDS
    server: smtplib.SMTP
    if settings.smtp_security == "ssl":
        server = smtplib.SMTP_SSL(host, port, timeout=timeout, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=timeout)
    with server:
        if settings.smtp_security == "starttls":
            server.starttls(context=context)
        if settings.smtp_user is not None and settings.smtp_password is not None:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        server.send_message(message)


def _store(message: EmailMessage, kind: str, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{utcnow():%Y%m%dT%H%M%S.%f}-{kind}-{secrets.token_hex(3)}.eml"
    draft = folder / f".{name}"
    draft.touch(mode=0o600)
    draft.write_bytes(message.as_bytes())
    draft.rename(folder / name)

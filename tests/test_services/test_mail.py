"""Mails in nine languages, through a real SMTP server or into a folder."""

from __future__ import annotations

import logging
import re
import string
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from pydantic import SecretStr

from datanika.config import settings
from datanika.contracts.enums import Locale
from datanika.i18n import LOCALES, RIGHT_TO_LEFT
from datanika.services.mail import Kind, Mail, compose, mail_texts, send_mail
from tests.support.accounts import link_of, mails, text_of
from tests.support.net import free_port

KINDS = get_args(Kind)
VALUES = {
    "email": "<b>@example.com",
    "inviter": "<b>@example.com",
    "organization": "<b>",
    "role": "editor",
}
RESET = Mail("reset_password", "ada@example.com", path="/reset-password", query={"token": "a+b&c"})


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(settings, "home", tmp_path)
    monkeypatch.setattr(settings, "smtp_host", None)
    monkeypatch.setattr(settings, "public_url", "https://datanika.test/")


class Received(Message):
    """Keeps what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.messages.append(message)


@pytest.fixture
def smtp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    received = Received()
    server = Controller(
        received,
        hostname="127.0.0.1",
        port=free_port(),
        auth_require_tls=False,
        authenticator=lambda *given: _authenticated(given[-1]),
    )
    server.start()
    for name, value in {
        "smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_security": "none",
        "smtp_user": "datanika", "smtp_password": SecretStr("hunter2"),
        "mail_from": "Datanika <noreply@datanika.test>",
    }.items():  # fmt: skip
        monkeypatch.setattr(settings, name, value)
    try:
        yield received
    finally:
        server.stop()


def _authenticated(login: Any) -> Any:
    from aiosmtpd.smtp import AuthResult

    return AuthResult(success=login.password == b"hunter2")


async def test_a_mail_goes_through_the_smtp_server(smtp: Received) -> None:
    assert await send_mail(RESET)
    [message] = smtp.messages
    assert message["To"] == "ada@example.com"
    assert message["From"] == "Datanika <noreply@datanika.test>"
    assert "https://datanika.test/reset-password?token=3Da%2Bb%26c" in str(message)
    assert mails() == []


async def test_a_server_that_refuses_is_logged_without_the_link(
    smtp: Received, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "smtp_password", SecretStr("wrong"))
    with caplog.at_level(logging.ERROR):
        assert not await send_mail(RESET)
        monkeypatch.setattr(settings, "smtp_port", free_port())
        assert not await send_mail(RESET)
    assert "reset_password" in caplog.text
    assert "token" not in caplog.text and "wrong" not in caplog.text
    assert smtp.messages == []


async def test_a_server_without_tls_gets_neither_password_nor_mail(
    smtp: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "smtp_security", "starttls")
    assert not await send_mail(RESET)
    assert smtp.messages == []


async def test_without_a_server_mails_land_in_a_private_folder() -> None:
    assert await send_mail(RESET)
    [file] = settings.mail_folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert settings.mail_folder.stat().st_mode & 0o777 == 0o700
    assert link_of(mails()[0]) == "https://datanika.test/reset-password?token=a%2Bb%26c"


async def test_an_address_that_no_mail_can_have_is_a_failure_not_an_error() -> None:
    for address in ("a,b@example.com", "<x@example.com", "a\nBcc: eve@example.com"):
        assert not await send_mail(Mail("password_changed", address))


@pytest.mark.parametrize("locale", list(Locale))
@pytest.mark.parametrize("kind", KINDS)
def test_every_mail_exists_in_every_language(kind: Kind, locale: str) -> None:
    english, own = mail_texts("en")[kind], mail_texts(locale)[kind]
    assert own.keys() == english.keys()
    for key in own:
        assert _placeholders(own[key]) == _placeholders(english[key])
    assert locale == "en" or own["text"] != english["text"]
    message = compose(Mail(kind, "ada@example.com", locale, VALUES, "/x"))
    html = message.get_body(("html",)).get_content()
    assert f'lang="{locale}" dir="{"rtl" if locale in RIGHT_TO_LEFT else "ltr"}"' in html
    assert "<b>" not in html
    assert ("href" in html) == ("button" in own) == ("http" in text_of(message))


def test_mails_and_pages_speak_the_same_languages() -> None:
    assert {locale.value for locale in Locale} == set(LOCALES)


def test_an_unknown_language_is_english() -> None:
    assert (
        compose(Mail("reset_password", "a@example.com", "tlh"))["Subject"]
        == "Choose a new password"
    )


def test_a_mail_never_shows_its_token_where_it_is_printed() -> None:
    assert not re.search("a.b.c", repr(RESET))


def _placeholders(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

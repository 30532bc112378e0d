"""Without a mail server a person sees mails, and their links, at the terminal."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from datanika.config import settings
from datanika.runtime import mails
from datanika.services.mail import Mail, send_mail


async def test_a_new_mail_is_told_with_its_link_and_an_old_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "home", tmp_path)
    monkeypatch.setattr(settings, "smtp_host", None)
    monkeypatch.setattr(mails, "LOOK_SECONDS", 0.02)
    await send_mail(Mail("password_changed", "old@example.com"))
    told: list[str] = []
    stopping = threading.Event()
    thread = threading.Thread(
        target=mails.announce_mails, args=(settings.mail_folder, told.append, stopping)
    )
    thread.start()
    await asyncio.sleep(0.2)
    await send_mail(
        Mail("reset_password", "ada@example.com", path="/reset-password", query={"token": "t1"})
    )
    until = time.monotonic() + 10
    while not told and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    stopping.set()
    thread.join()
    [text] = told
    assert text.startswith("Mail to ada@example.com: Choose a new password\n")
    assert text.endswith("/reset-password?token=t1")


def test_a_mail_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert str(tmp_path / "x.eml") in mails.describe(tmp_path / "x.eml")

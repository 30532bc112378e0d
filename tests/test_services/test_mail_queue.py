"""Account mails wait in the database until they went; what waits is encrypted."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging

import pytest
from sqlalchemy import func, select, text, update

from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.models import PendingMail
from datanika.services import mail_queue
from datanika.services.mail import Mail
from datanika.services.mail_queue import enqueue, send_due, send_one
from tests.support.accounts import mails, token_of

pytestmark = pytest.mark.usefixtures("database")
RESET = Mail(
    "reset_password", "ada@example.com", path="/reset-password", query={"token": "canary-77"}
)


async def put(mail: Mail | None = RESET) -> int:
    async with get_session(SYSTEM) as session:
        return await enqueue(session, mail)


async def waiting() -> int:
    async with get_session(SYSTEM) as session:
        return await session.scalar(select(func.count(PendingMail.id))) or 0


async def pass_time(time: dt.timedelta) -> None:
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(PendingMail).values(
                next_attempt_at=PendingMail.next_attempt_at - time,
                expires_at=PendingMail.expires_at - time,
            )
        )


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[Mail]:
    """The mail server takes nothing; what it was offered."""
    offered: list[Mail] = []

    async def refuse(mail: Mail) -> bool:
        offered.append(mail)
        return False

    monkeypatch.setattr(mail_queue, "send_mail", refuse)
    return offered


async def test_a_mail_goes_out_once_and_nothing_of_it_stays() -> None:
    mail_id = await put()
    assert await send_one(mail_id)
    assert not await send_one(mail_id)
    assert await send_due() == 0
    assert [token_of(mail) for mail in mails()] == ["canary-77"]
    assert await waiting() == 0


async def test_what_waits_is_encrypted() -> None:
    await put()
    async with get_session(SYSTEM) as session:
        row = str((await session.execute(text("SELECT mails::text FROM mails"))).scalar())
    assert "canary-77" not in row and "ada@example.com" not in row and "k1:" in row


async def test_a_mail_that_did_not_go_is_tried_again_later_and_later(
    broken: list[Mail],
) -> None:
    await put()
    waits = []
    for attempt in range(1, 5):
        assert await send_due() == 0
        assert len(broken) == attempt
        async with get_session(SYSTEM) as session:
            due = await session.scalar(select(PendingMail.next_attempt_at))
        assert due is not None
        waits.append((due - utcnow()).total_seconds())
        await pass_time(due - utcnow())
    assert waits == sorted(waits) and waits[0] > 5 and waits[-1] > 200


async def test_after_a_failure_it_goes_when_the_server_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:

        async def refuse(mail: Mail) -> bool:
            return False

        patched.setattr(mail_queue, "send_mail", refuse)
        assert not await send_one(await put())
    await pass_time(dt.timedelta(minutes=1))
    assert await send_due() == 1
    assert len(mails()) == 1 and await waiting() == 0


async def test_a_mail_whose_link_has_expired_is_given_up_and_not_sent(
    broken: list[Mail], caplog: pytest.LogCaptureFixture
) -> None:
    await put()
    await pass_time(dt.timedelta(hours=1, seconds=1))
    with caplog.at_level(logging.ERROR):
        assert await send_due() == 0
    assert (broken, await waiting()) == ([], 0)
    assert "given up" in caplog.text
    assert "canary-77" not in caplog.text and "ada@example.com" not in caplog.text


async def test_a_mail_for_nobody_is_written_like_any_other_and_thrown_away(
    broken: list[Mail],
) -> None:
    await put(None)
    assert await waiting() == 1
    assert await send_due() == 0
    assert (broken, await waiting(), mails()) == ([], 0, [])


async def test_two_web_processes_send_a_mail_once() -> None:
    for _ in range(6):
        await put()
    assert sum(await asyncio.gather(send_due(), send_due(), send_due())) == 6
    assert len(mails()) == 6


async def test_a_mail_that_cannot_be_read_is_in_nobodys_way() -> None:
    await put()
    async with get_session(SYSTEM) as session:
        await session.execute(update(PendingMail).values(content="gone:x"))
    await put()
    assert await send_due() == 1
    assert await waiting() == 0

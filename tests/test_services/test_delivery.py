"""Deliveries: signed, once per event as far as one can promise, never lost, never a secret in them.

The receiver listens on loopback: the policy of these tests allows its address.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import time

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text, update

from datanika.client import verify_webhook
from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.contracts.notifications import ChannelKind
from datanika.db import SYSTEM, get_session
from datanika.models import AuditLog, NotificationChannel, NotificationDelivery
from datanika.services import delivery, notification_senders
from datanika.services.delivery import (
    FIRST_DELAY,
    LONGEST_DELAY,
    MAX_ATTEMPTS,
    delay_after,
    deliver_due,
    deliver_one,
)
from datanika.services.notification_log import NotificationLog
from datanika.services.notification_senders import Message, Sent
from datanika.services.notification_service import UNHEALTHY_AFTER, NotificationService
from tests.support.accounts import mails, text_of
from tests.support.canary import FakeDns, canary_server
from tests.support.channels import Receiver, deliveries, end_run, make_channel, receiving
from tests.support.net import free_port
from tests.support.pipelines import make_pipeline
from tests.support.serving import serving
from tests.support.tenants import Tenant, make_tenant

TOKEN = "12345:canary_telegram_token_0123456789"


@pytest.fixture
async def tenant(database: str) -> Tenant:
    async with get_session(SYSTEM) as session:
        await session.execute(text("DELETE FROM deliveries"))
    return await make_tenant()


async def fail_a_run(tenant: Tenant) -> int:
    return await end_run(tenant.owner, (await make_pipeline(tenant.owner)).id, RunState.FAILED)


async def due_again(tenant: Tenant) -> None:
    """As if the time until the next attempt were over."""
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(NotificationDelivery)
            .where(NotificationDelivery.org_id == tenant.org_id)
            .values(next_attempt_at=utcnow())
        )


async def only(tenant: Tenant) -> NotificationDelivery:
    (found,) = await deliveries(tenant.owner)
    return found


async def health(channel_id: int) -> int:
    async with get_session(SYSTEM) as session:
        return (await session.get_one(NotificationChannel, channel_id)).consecutive_failures


async def test_a_webhook_arrives_signed_and_says_what_happened(tenant: Tenant) -> None:
    async with receiving() as receiver:
        _, secret = await make_channel(tenant.owner, f"{receiver.url}/hook?x=1")
        run_id = await fail_a_run(tenant)
        assert await deliver_due() == {"delivered": 1, "retried": 0, "failed": 0, "cancelled": 0}
        assert sum((await deliver_due()).values()) == 0
    (got,) = receiver.got
    assert secret is not None
    verify_webhook(secret, got.headers["datanika-signature"], got.body)
    assert got.headers["datanika-event"] == "run.failed"
    assert got.headers["datanika-event-id"] == f"run.failed:{run_id}"
    assert got.headers["host"] == receiver.url.removeprefix("http://")
    assert got.json["run"]["id"] == run_id
    row = await only(tenant)
    assert (row.state, row.attempts, row.status_code, row.error) == ("delivered", 1, 200, None)
    assert row.delivered_at is not None


async def test_an_email_channel_is_mailed_to_all_its_addresses(tenant: Tenant) -> None:
    to = ["ops@example.com", "ada@example.com"]
    await make_channel(tenant.owner, kind=ChannelKind.EMAIL, config={"to": to})
    await fail_a_run(tenant)
    assert (await deliver_due())["delivered"] == 1
    [message] = mails()
    assert message["To"] == ", ".join(to)
    assert message["Subject"].startswith("Datanika: ") and "It broke." in text_of(message)


async def test_after_a_rotation_both_secrets_verify_until_the_day_is_over(tenant: Tenant) -> None:
    async with receiving() as receiver:
        channel, old = await make_channel(tenant.owner, receiver.url)
        async with get_session(tenant.owner.scope) as session:
            _, new, _ = await NotificationService(session, tenant.owner).rotate_secret(channel.id)
        await fail_a_run(tenant)
        await deliver_due()
    (got,) = receiver.got
    for secret in (old, new):
        assert secret is not None
        verify_webhook(secret, got.headers["datanika-signature"], got.body)
    past = (utcnow() - dt.timedelta(seconds=1)).isoformat()
    secrets = {"signing_secret": new, "previous_secret": old, "previous_until": past}
    config, payload = {"url": "https://x.example"}, {"event": "e", "event_id": "i"}
    message = Message(ChannelKind.WEBHOOK, config, lambda: secrets, payload)
    request = notification_senders.webhook_request(message, secrets)
    assert request.headers["datanika-signature"].count("v1=") == 1


async def test_a_failed_attempt_is_repeated_later_and_later_and_then_given_up(
    tenant: Tenant,
) -> None:
    async with receiving(500) as receiver:
        channel, _ = await make_channel(tenant.owner, receiver.url)
        await fail_a_run(tenant)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            counts = await deliver_due()
            row = await only(tenant)
            assert (row.attempts, row.status_code) == (attempt, 500)
            assert row.error == "The receiver answered 500."
            last = attempt == MAX_ATTEMPTS
            assert counts["failed" if last else "retried"] == 1
            if not last:
                assert row.next_attempt_at > utcnow()
                assert sum((await deliver_due()).values()) == 0, "too early"
            await due_again(tenant)
        assert row.state == "failed"
        assert sum((await deliver_due()).values()) == 0
    assert len(receiver.got) == MAX_ATTEMPTS
    assert len({one.headers["datanika-event-id"] for one in receiver.got}) == 1
    assert await health(channel.id) == MAX_ATTEMPTS


def test_the_delay_grows_has_jitter_and_an_end() -> None:
    for attempts in range(1, 20):
        expected = min(FIRST_DELAY * 4 ** (attempts - 1), LONGEST_DELAY)
        some = {delay_after(attempts) for _ in range(50)}
        assert len(some) > 10
        assert all(expected * 0.75 <= one <= expected * 1.25 for one in some)


async def test_a_channel_is_unhealthy_after_many_failures_and_one_success_heals_it(
    tenant: Tenant,
) -> None:
    async with receiving(503) as receiver:
        channel, _ = await make_channel(tenant.owner, receiver.url)
        async with get_session(SYSTEM) as session:
            row = await session.get_one(NotificationChannel, channel.id)
            row.consecutive_failures = UNHEALTHY_AFTER - 1
        await fail_a_run(tenant)
        await deliver_due()
        assert await health(channel.id) == UNHEALTHY_AFTER
        receiver.status = 204
        await due_again(tenant)
        await deliver_due()
    assert await health(channel.id) == 0
    async with get_session(SYSTEM) as session:
        actions = await session.scalars(
            select(AuditLog.action).where(AuditLog.org_id == tenant.org_id)
        )
        assert list(actions).count("notification_channel.unhealthy") == 1


async def test_two_processes_send_each_message_once(tenant: Tenant) -> None:
    """Fifteen messages, six workers that claim at the same time."""
    async with receiving() as receiver:
        for _ in range(15):
            await make_channel(tenant.owner, receiver.url)
        await fail_a_run(tenant)
        for _ in range(3):
            await asyncio.gather(*(deliver_due() for _ in range(6)))
    assert len(receiver.got) == 15
    assert {row.state for row in await deliveries(tenant.owner)} == {"delivered"}
    assert {row.attempts for row in await deliveries(tenant.owner)} == {1}


async def test_a_process_that_dies_with_a_claim_only_delays(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as receiver:
        await make_channel(tenant.owner, receiver.url)
        await fail_a_run(tenant)

        async def killed(_: Message) -> Sent:
            raise asyncio.CancelledError

        with monkeypatch.context() as patched:
            patched.setattr(delivery, "send", killed)
            with pytest.raises(asyncio.CancelledError):
                await deliver_due()
        assert sum((await deliver_due()).values()) == 0, "the claim still holds"
        row = await only(tenant)
        assert row.next_attempt_at <= utcnow() + delivery.CLAIM
        await due_again(tenant)
        assert (await deliver_due())["delivered"] == 1
    assert len(receiver.got) == 1


async def test_a_slow_claim_that_was_taken_over_does_not_overwrite(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(500) as receiver:
        await make_channel(tenant.owner, receiver.url)
        await fail_a_run(tenant)
        hung = asyncio.Event()

        async def slow(_: Message) -> Sent:
            await hung.wait()
            return Sent(error="too late")

        with monkeypatch.context() as patched:
            patched.setattr(delivery, "send", slow)
            zombie = asyncio.create_task(deliver_due())
            while (await only(tenant)).attempts == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await due_again(tenant)
        assert (await deliver_due())["retried"] == 1
        hung.set()
        await zombie
    row = await only(tenant)
    assert (row.state, row.error, row.attempts) == ("pending", "The receiver answered 500.", 2)


async def test_a_channel_that_hangs_does_not_starve_the_others(tenant: Tenant) -> None:
    pipeline = await make_pipeline(tenant.owner)
    await make_channel(tenant.owner, f"http://127.0.0.1:{free_port()}")
    for _ in range(delivery.BATCH + 5):
        await end_run(tenant.owner, pipeline.id, RunState.FAILED)
    async with receiving() as receiver:
        await make_channel(tenant.owner, receiver.url)
        await end_run(tenant.owner, pipeline.id, RunState.FAILED)
        await deliver_due()
    assert len(receiver.got) == 1


async def test_what_is_redelivered_has_the_same_event_id(tenant: Tenant) -> None:
    async with receiving() as receiver:
        await make_channel(tenant.owner, receiver.url)
        await fail_a_run(tenant)
        await deliver_due()
        async with get_session(tenant.owner.scope) as session:
            row = await NotificationLog(session, tenant.owner).redeliver((await only(tenant)).id)
        await deliver_one(row.id)
        await deliver_one(row.id)
    first, second = receiver.got
    assert first.headers["datanika-event-id"] == second.headers["datanika-event-id"]
    assert (await only(tenant)).state == "delivered"


async def test_a_channel_switched_off_cancels_what_waits(tenant: Tenant) -> None:
    async with receiving() as receiver:
        channel, _ = await make_channel(tenant.owner, receiver.url)
        await fail_a_run(tenant)
        async with get_session(tenant.owner.scope) as session:
            await NotificationService(session, tenant.owner).update(channel.id, is_active=False)
        assert (await deliver_due())["cancelled"] == 1
    assert receiver.got == []
    assert (await only(tenant)).state == "cancelled"


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> FakeDns:
    """The policy of production, and names that lead where the test says."""
    dns = FakeDns(rebind_example=[["127.0.0.1"]], pair_example=[["93.184.216.34", "127.0.0.1"]])
    monkeypatch.setattr(settings, "egress_networks", "public")
    monkeypatch.setattr(notification_senders, "resolve", dns)
    return dns


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost.rebind.example", "rebind.example", "pair.example", "2130706433",
     "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.1"],
)  # fmt: skip
async def test_a_webhook_into_the_private_network_is_refused_with_the_reason(
    tenant: Tenant, strict: FakeDns, host: str
) -> None:
    strict.answers["localhost.rebind.example"] = [["127.0.0.1"]]
    with canary_server() as canary:
        await make_channel(tenant.owner, f"http://{host}:{canary.port}/x")
        await fail_a_run(tenant)
        assert (await deliver_due())["failed"] == 1
        assert canary.untouched
    row = await only(tenant)
    assert (row.state, row.attempts, row.status_code) == ("failed", 1, None)
    assert row.error and ("does not connect" in row.error or "not a host" in row.error)


async def test_a_name_that_changes_its_address_is_judged_again(
    tenant: Tenant, strict: FakeDns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First a good address (which does not answer here), at the retry a bad one."""
    monkeypatch.setattr(settings, "egress_allow", "127.0.0.2")
    with canary_server() as canary:
        strict.answers["turn.example"] = [["127.0.0.2"], ["127.0.0.1"]]
        await make_channel(tenant.owner, f"http://turn.example:{canary.port}/x")
        await fail_a_run(tenant)
        assert (await deliver_due())["retried"] == 1
        assert strict.asked.count("turn.example") == 1, "resolved once, and pinned"
        await due_again(tenant)
        assert (await deliver_due())["failed"] == 1
        assert canary.untouched


async def test_a_redirect_is_not_followed(tenant: Tenant) -> None:
    with canary_server() as canary:
        async with receiving(307, location=f"{canary.url}/secret") as receiver:
            await make_channel(tenant.owner, receiver.url)
            await fail_a_run(tenant)
            assert (await deliver_due())["retried"] == 1
        assert canary.untouched
    assert (await only(tenant)).error == "The receiver answered 307; redirects are not followed."


async def test_the_platforms_own_services_are_refused_even_where_loopback_is_open(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "egress_networks", "local")
    with canary_server() as prefect:
        monkeypatch.setattr(settings, "prefect_api_url", f"{prefect.url}/api")
        await make_channel(tenant.owner, f"{prefect.url}/api/admin/database/clear")
        await fail_a_run(tenant)
        assert (await deliver_due())["failed"] == 1
        assert prefect.untouched
    assert "a service of the platform itself" in ((await only(tenant)).error or "")


async def test_nobody_there_and_no_name_are_said_in_our_words(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, _ = await make_channel(tenant.owner, f"http://127.0.0.1:{free_port()}/canary")
    await fail_a_run(tenant)
    await deliver_due()
    assert "cannot be reached" in ((await only(tenant)).error or "")
    monkeypatch.setattr(notification_senders, "TIMEOUT_SECONDS", 0.3)

    async def deaf(scope, receive, send):  # type: ignore[no-untyped-def]
        await asyncio.sleep(1)

    async with serving(deaf) as url:
        async with get_session(tenant.owner.scope) as session:
            await NotificationService(session, tenant.owner).update(channel.id, config={"url": url})
        await due_again(tenant)
        began = time.monotonic()
        await deliver_due()
        assert time.monotonic() - began < 1
        assert "did not answer" in ((await only(tenant)).error or "")
        await asyncio.sleep(1)


async def test_telegram_and_slack_get_plain_words(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as receiver:
        monkeypatch.setattr(settings, "telegram_api_url", receiver.url)
        await make_channel(
            tenant.owner,
            kind=ChannelKind.TELEGRAM,
            config={"chat_id": "-100", "bot_token": TOKEN},
        )
        await fail_a_run(tenant)
        await deliver_due()
    (got,) = receiver.got
    assert got.path == f"/bot{TOKEN}/sendMessage"
    assert got.json["chat_id"] == "-100"
    assert "It broke." in got.json["text"]
    payload = (await only(tenant)).payload | {"event": "run.failed"}
    payload["pipeline"]["name"] = "<!channel> & co"
    message = Message(ChannelKind.SLACK, {}, lambda: {}, payload)
    request = notification_senders.slack_request(message, {"webhook_url": "https://x.example/"})
    assert json.loads(request.content)["text"].startswith("&lt;!channel&gt; &amp; co failed")


async def failing_everywhere(receiver: Receiver) -> None:
    """Every way to fail that a receiver has, and the platform's own."""
    for status, headers in ((500, {}), (302, {"location": "/x"}), (410, {}), (200, {})):
        receiver.status, receiver.headers = status, headers
        async with get_session(SYSTEM) as session:
            await session.execute(
                update(NotificationDelivery).values(state="pending", next_attempt_at=utcnow())
            )
        await deliver_due()


async def test_a_channels_secret_is_in_no_record_and_no_log(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """T11: the receiver echoes what it got; every logger is at DEBUG."""
    caplog.set_level(logging.DEBUG)
    errors: set[str] = set()
    async with receiving() as receiver:
        monkeypatch.setattr(settings, "telegram_api_url", receiver.url)
        await make_channel(
            tenant.owner, kind=ChannelKind.TELEGRAM, config={"chat_id": "1", "bot_token": TOKEN}
        )
        _, signing = await make_channel(tenant.owner, receiver.url)
        await fail_a_run(tenant)
        await failing_everywhere(receiver)
        errors |= {row.error or "" for row in await deliveries(tenant.owner)}
        monkeypatch.setattr(settings, "telegram_api_url", f"http://127.0.0.1:{free_port()}")
        await failing_everywhere(receiver)
    assert any(TOKEN in one.path for one in receiver.got), "the canary was really sent"

    def explode(*_: object) -> httpx.Request:
        raise RuntimeError(f"bad {TOKEN} {signing}")

    for kind in (ChannelKind.TELEGRAM, ChannelKind.WEBHOOK):
        monkeypatch.setitem(notification_senders._REQUESTS, kind, explode)
    await failing_everywhere(receiver)
    monkeypatch.setattr(settings, "encryption_keys", SecretStr("k9:" + "A" * 43 + "="))
    await failing_everywhere(receiver)
    async with get_session(SYSTEM) as session:
        tables = [
            str(list(await session.execute(text(f"SELECT t::text FROM {name} t"))))
            for name in ("deliveries", "notification_channels", "audit_log")
        ]
    assert signing is not None
    for secret in (TOKEN, signing):
        assert secret not in caplog.text
        assert not any(secret in table for table in tables)

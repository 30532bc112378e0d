"""Channels: who may have them, what is kept secret, and what a run's end makes of them."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from sqlalchemy import event, select, text

from datanika.contracts.enums import Role, RunState
from datanika.contracts.events import utcnow
from datanika.contracts.notifications import ChannelKind
from datanika.contracts.schedule import ScheduleSpec
from datanika.db import SYSTEM, get_engine, get_session
from datanika.errors import Conflict, InvalidInput, LimitReached, NotFound, PermissionDenied
from datanika.models import AuditLog, NotificationChannel, Run
from datanika.services import notification_service
from datanika.services.notification_events import notify_run
from datanika.services.notification_service import NotificationService, open_secrets
from datanika.services.pipeline_service import PipelineService
from datanika.services.schedule_service import ScheduleService
from tests.support.channels import deliveries, end_run, make_channel
from tests.support.pipelines import make_pipeline
from tests.support.tenants import Tenant, add_member, make_tenant

TOKEN = "12345:" + "canary_" * 5
SLACK = "https://hooks.slack.com/services/T0/B0/canaryXYZ"


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant()


async def events_of(tenant: Tenant) -> list[str]:
    return [row.event for row in await deliveries(tenant.owner)]


@pytest.mark.parametrize(
    ("kind", "config", "secret"),
    [
        (ChannelKind.SLACK, {"webhook_url": SLACK}, SLACK),
        (ChannelKind.TELEGRAM, {"chat_id": "-100", "bot_token": TOKEN}, TOKEN),
        (ChannelKind.WEBHOOK, {"url": "https://hooks.example.com"}, None),
    ],
)
async def test_secrets_are_encrypted_and_in_no_audit_entry(
    tenant: Tenant, kind: ChannelKind, config: dict[str, str], secret: str | None
) -> None:
    channel, signing = await make_channel(tenant.owner, kind=kind, config=config)
    secret = secret or signing
    assert secret in open_secrets(channel).values()
    async with get_session(SYSTEM) as session:
        stored = await session.get_one(NotificationChannel, channel.id)
        kept = [f"{row.old} {row.new}" for row in await session.scalars(select(AuditLog))]
    assert secret not in f"{stored.config} {stored.secrets}"
    assert kept and not any(secret in line for line in kept)


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        (ChannelKind.WEBHOOK, {"url": "ftp://example.com"}, "config.url"),
        (ChannelKind.WEBHOOK, {"url": "https://user:canary@example.com"}, "config.url"),
        (ChannelKind.WEBHOOK, {"url": "https://example.com:99999"}, "config.url"),
        (ChannelKind.WEBHOOK, {"url": "https://example.com/\n"}, "config.url"),
        (ChannelKind.WEBHOOK, {}, "config.url"),
        (ChannelKind.SLACK, {"webhook_url": "http://example.com/canary"}, "config.webhook_url"),
        (ChannelKind.TELEGRAM, {"chat_id": "1", "bot_token": "canary"}, "config.bot_token"),
        (ChannelKind.EMAIL, {"to": ["a@example.com\nBcc: x@example.com"]}, "config.to.0"),
        (ChannelKind.EMAIL, {"to": []}, "config.to"),
        (ChannelKind.EMAIL, {"to": ["a@example.com"], "cc": []}, "config.cc"),
    ],
)
async def test_a_wrong_configuration_names_its_field_and_is_not_quoted(
    tenant: Tenant, kind: ChannelKind, config: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await make_channel(tenant.owner, kind=kind, config=config or {"x": 1})
    assert refused.value.field in (field, "config.x")
    assert "canary" not in refused.value.message


async def test_a_secret_that_is_left_out_is_kept(tenant: Tenant) -> None:
    channel, _ = await make_channel(
        tenant.owner, kind=ChannelKind.TELEGRAM, config={"chat_id": "-1", "bot_token": TOKEN}
    )
    async with get_session(tenant.owner.scope) as session:
        service = NotificationService(session, tenant.owner)
        changed = await service.update(channel.id, config={"chat_id": "-2"})
        assert changed.config == {"chat_id": "-2"}
        assert open_secrets(changed) == {"bot_token": TOKEN}
        with pytest.raises(InvalidInput):
            await service.update(channel.id, config={"chat_id": "-2", "bot_token": ""})
        await session.refresh(changed)
    webhook, signing = await make_channel(tenant.owner)
    async with get_session(tenant.owner.scope) as session:
        service = NotificationService(session, tenant.owner)
        changed = await service.update(webhook.id, config={"url": "https://other.example.com/"})
        assert open_secrets(changed) == {"signing_secret": signing}


async def test_a_viewer_reads_and_an_editor_does_not_write(tenant: Tenant) -> None:
    channel, _ = await make_channel(tenant.owner)
    viewer = await add_member(tenant.org_id, Role.VIEWER)
    editor = await add_member(tenant.org_id, Role.EDITOR)
    async with get_session(viewer.scope) as session:
        assert (await NotificationService(session, viewer).get(channel.id)).id == channel.id
        service = NotificationService(session, editor)
        for attempt in (
            service.update(channel.id, name="x"),
            service.delete(channel.id),
            service.rotate_secret(channel.id),
            service.test(channel.id),
        ):
            with pytest.raises(PermissionDenied):
                await attempt


async def test_another_organisations_channel_and_pipeline_are_not_there(tenant: Tenant) -> None:
    channel, _ = await make_channel(tenant.owner)
    stranger = (await make_tenant("Other")).owner
    pipeline = await make_pipeline(tenant.owner)
    async with get_session(SYSTEM) as session:
        with pytest.raises(NotFound):
            await NotificationService(session, stranger).get(channel.id)
    with pytest.raises(NotFound) as refused:
        await make_channel(stranger, pipeline_ids=(pipeline.id,))
    assert refused.value.field == "pipeline_ids"


async def test_names_are_unique_and_channels_are_limited(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = await make_channel(tenant.owner)
    second, _ = await make_channel(tenant.owner)
    async with get_session(tenant.owner.scope) as session:
        service = NotificationService(session, tenant.owner)
        with pytest.raises(Conflict) as taken:
            await service.update(second.id, name=first.name)
        assert taken.value.code == "name_taken"
    monkeypatch.setattr(notification_service, "MOST_CHANNELS", 4)
    many = await asyncio.gather(
        *(make_channel(tenant.owner) for _ in range(6)), return_exceptions=True
    )
    assert sum(isinstance(one, LimitReached) for one in many) == 4
    async with get_session(tenant.owner.scope) as session:
        await NotificationService(session, tenant.owner).delete(first.id)
    await make_channel(tenant.owner)


async def test_rotation_keeps_the_old_secret_for_a_day(tenant: Tenant) -> None:
    channel, old = await make_channel(tenant.owner)
    async with get_session(tenant.owner.scope) as session:
        service = NotificationService(session, tenant.owner)
        changed, new, until = await service.rotate_secret(channel.id)
        assert new != old
        assert dt.timedelta(hours=23) < until - utcnow() <= dt.timedelta(hours=24)
        kept = open_secrets(changed)
        assert (kept["signing_secret"], kept["previous_secret"]) == (new, old)
    slack, _ = await make_channel(
        tenant.owner, kind=ChannelKind.SLACK, config={"webhook_url": SLACK}
    )
    async with get_session(tenant.owner.scope) as session:
        with pytest.raises(Conflict) as refused:
            await NotificationService(session, tenant.owner).rotate_secret(slack.id)
    assert refused.value.code == "not_a_webhook"


async def test_each_channel_gets_the_events_it_asked_for_once(tenant: Tenant) -> None:
    pipeline = await make_pipeline(tenant.owner)
    other = await make_pipeline(tenant.owner, "other")
    everything, _ = await make_channel(tenant.owner)
    failures, _ = await make_channel(tenant.owner, events=["run.failed"])
    elsewhere, _ = await make_channel(tenant.owner, pipeline_ids=(other.id,))
    stranger = (await make_tenant("Other")).owner
    await make_channel(stranger)
    run_id = await end_run(tenant.owner, pipeline.id, RunState.FAILED)
    made = await deliveries(tenant.owner)
    assert [(row.channel_id, row.event) for row in made] == [
        (everything.id, "run.failed"),
        (failures.id, "run.failed"),
    ]
    assert {row.event_id for row in made} == {f"run.failed:{run_id}"}
    assert made[0].payload["run"]["error"]["message"] == "It broke."
    assert made[0].payload["pipeline"]["id"] == pipeline.id
    assert await deliveries(stranger) == []
    async with get_session(SYSTEM) as session:
        await notify_run(session, await session.get_one(Run, run_id))
    assert len(await deliveries(tenant.owner)) == 2, "said twice"
    await end_run(tenant.owner, other.id, RunState.CANCELLED)
    assert {row.channel_id for row in (await deliveries(tenant.owner))[2:]} == {
        everything.id,
        elsewhere.id,
    }


async def test_recovered_is_the_first_success_after_a_failure(tenant: Tenant) -> None:
    pipeline = await make_pipeline(tenant.owner)
    other = await make_pipeline(tenant.owner, "other")
    await make_channel(tenant.owner, events=["run.recovered"])
    await end_run(tenant.owner, other.id, RunState.FAILED)
    await end_run(tenant.owner, pipeline.id, RunState.SUCCEEDED)
    assert await events_of(tenant) == [], "it never failed"
    await end_run(tenant.owner, pipeline.id, RunState.FAILED)
    await end_run(tenant.owner, pipeline.id, RunState.CANCELLED)
    await end_run(tenant.owner, pipeline.id, RunState.SUCCEEDED)
    assert await events_of(tenant) == ["run.recovered"]
    await end_run(tenant.owner, pipeline.id, RunState.SUCCEEDED)
    assert await events_of(tenant) == ["run.recovered"]


async def test_a_run_that_is_rolled_back_tells_nobody(tenant: Tenant) -> None:
    pipeline = await make_pipeline(tenant.owner)
    await make_channel(tenant.owner)
    run_id = await end_run(tenant.owner, pipeline.id, RunState.SUCCEEDED)
    async with get_session(SYSTEM) as session:
        await session.execute(text("DELETE FROM deliveries"))
    with pytest.raises(ZeroDivisionError):
        async with get_session(SYSTEM) as session:
            await notify_run(session, await session.get_one(Run, run_id))
            raise ZeroDivisionError
    assert await deliveries(tenant.owner) == []


async def test_without_channels_the_end_of_a_run_costs_one_query(tenant: Tenant) -> None:
    pipeline = await make_pipeline(tenant.owner)
    run_id = await end_run(tenant.owner, pipeline.id, RunState.SUCCEEDED)
    asked: list[str] = []

    def note(_c, _cursor, statement, *_more) -> None:  # type: ignore[no-untyped-def]
        asked.append(statement)

    engine = get_engine().sync_engine
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, run_id)
        event.listen(engine, "before_cursor_execute", note)
        try:
            await notify_run(session, run)
        finally:
            event.remove(engine, "before_cursor_execute", note)
    assert len(asked) == 1


async def test_pausing_is_an_event_each_time(tenant: Tenant) -> None:
    pipeline = await make_pipeline(tenant.owner)
    await make_channel(
        tenant.owner,
        events=["pipeline.paused", "pipeline.resumed", "schedule.paused", "schedule.resumed"],
    )
    async with get_session(tenant.owner.scope) as session:
        service = PipelineService(session, tenant.owner)
        for paused in (True, True, False, True):
            await service.update(pipeline.id, is_paused=paused)
        schedules = ScheduleService(session, tenant.owner)
        made = await schedules.create(pipeline.id, ScheduleSpec(cron="0 * * * *"))
        await schedules.update(made.id, ScheduleSpec(cron="0 * * * *", active=False))
        await schedules.update(made.id, ScheduleSpec(cron="5 * * * *", active=False))
        await schedules.update(made.id, ScheduleSpec(cron="5 * * * *", active=True))
    assert await events_of(tenant) == [
        "pipeline.paused", "pipeline.resumed", "pipeline.paused",
        "schedule.paused", "schedule.resumed",
    ]  # fmt: skip


async def test_a_deleted_channel_forgets_its_secret_and_what_waits(tenant: Tenant) -> None:
    pipeline = await make_pipeline(tenant.owner)
    channel, _ = await make_channel(tenant.owner)
    await end_run(tenant.owner, pipeline.id, RunState.FAILED)
    async with get_session(tenant.owner.scope) as session:
        await NotificationService(session, tenant.owner).delete(channel.id)
    async with get_session(SYSTEM) as session:
        assert (await session.get_one(NotificationChannel, channel.id)).secrets is None
    assert [row.state for row in await deliveries(tenant.owner)] == ["cancelled"]
    await end_run(tenant.owner, pipeline.id, RunState.FAILED)
    assert len(await deliveries(tenant.owner)) == 1

"""Notification channels, and what became of their messages."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Query, status

from datanika.api.deps import MAX_ID, PROBLEMS, Id, IfMatch, Named, Search, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import (
    NotificationChannelCreatedOut,
    NotificationChannelIn,
    NotificationChannelOut,
    NotificationChannelPatch,
    NotificationDeliveryOut,
    Page,
    WebhookSecretOut,
)
from datanika.contracts.notifications import ChannelKind, DeliveryState
from datanika.models import NotificationChannel, NotificationDelivery
from datanika.services import notification_log
from datanika.services.delivery import deliver_one
from datanika.services.notification_log import NotificationLog
from datanika.services.notification_service import (
    SORTS,
    UNHEALTHY_AFTER,
    NotificationService,
    secret_names,
)
from datanika.services.paging import PageRequest

router = APIRouter(tags=["notifications"], responses=PROBLEMS, route_class=TenantRoute)
Paging = Annotated[PageRequest, paging(SORTS)]
DeliveryPaging = Annotated[PageRequest, paging(notification_log.SORTS, "-id")]


@router.get("/notification-channels", **needs("notification:read"))
async def list_notification_channels(
    tx: Tx,
    page: Paging,
    name: Named = None,
    search: Search = None,
    kind: ChannelKind | None = None,
) -> Page[NotificationChannelOut]:
    """The organisation's channels, without their secrets."""
    rows = await NotificationService(tx.session, tx.actor).list(
        page, name=name, search=search, kind=kind
    )
    return page_of(rows, channel_out)


@router.post(
    "/notification-channels", status_code=status.HTTP_201_CREATED, **needs("notification:write")
)
async def create_notification_channel(
    body: NotificationChannelIn, tx: Tx
) -> NotificationChannelCreatedOut:
    """A new channel. A webhook's answer has the secret that its messages are signed with, this
    once; other secrets are encrypted and never shown again."""
    row, signing = await NotificationService(tx.session, tx.actor).create(
        body.name,
        body.kind,
        body.config.model_dump(mode="json"),
        body.events,
        body.pipeline_ids,
        body.is_active,
    )
    return tx.tagged(NotificationChannelCreatedOut(**_columns(row), signing_secret=signing))


@router.get("/notification-channels/{channel_id}", **needs("notification:read"))
async def read_notification_channel(channel_id: Id, tx: Tx) -> NotificationChannelOut:
    """One channel, and whether its messages arrive."""
    return tx.tagged(channel_out(await NotificationService(tx.session, tx.actor).get(channel_id)))


@router.patch("/notification-channels/{channel_id}", **needs("notification:write"))
async def update_notification_channel(
    channel_id: Id, body: NotificationChannelPatch, tx: Tx, revision: IfMatch
) -> NotificationChannelOut:
    """Change what is given."""
    row = await NotificationService(tx.session, tx.actor).update(
        channel_id,
        name=body.name,
        config=body.config,
        events=body.events,
        pipeline_ids=body.pipeline_ids,
        is_active=body.is_active,
        revision=revision,
    )
    return tx.tagged(channel_out(row))


@router.delete(
    "/notification-channels/{channel_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    **needs("notification:delete"),
)
async def delete_notification_channel(channel_id: Id, tx: Tx) -> None:
    """Take it away; what was not delivered yet is cancelled."""
    await NotificationService(tx.session, tx.actor).delete(channel_id)


@router.post(
    "/notification-channels/{channel_id}/test",
    status_code=status.HTTP_202_ACCEPTED,
    **needs("notification:write"),
)
async def test_notification_channel(
    channel_id: Id, tx: Tx, later: BackgroundTasks
) -> NotificationDeliveryOut:
    """Send a test message now. Its delivery, which says soon whether it arrived."""
    delivery = await NotificationService(tx.session, tx.actor).test(channel_id)
    later.add_task(deliver_one, delivery.id)
    return delivery_out(delivery)


@router.post("/notification-channels/{channel_id}/rotate-secret", **needs("notification:write"))
async def rotate_notification_secret(channel_id: Id, tx: Tx) -> WebhookSecretOut:
    """A new signing secret for a webhook. For a day every message is signed with both."""
    _, secret, until = await NotificationService(tx.session, tx.actor).rotate_secret(channel_id)
    return WebhookSecretOut(signing_secret=secret, previous_valid_until=until)


@router.get("/notification-deliveries", **needs("notification:read"))
async def list_notification_deliveries(
    tx: Tx,
    page: DeliveryPaging,
    channel_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    state: DeliveryState | None = None,
    event: Annotated[
        str | None, Query(max_length=64, pattern=r"^[a-z_.]*$", examples=["run.failed"])
    ] = None,
) -> Page[NotificationDeliveryOut]:
    """What was sent, waits or failed; the newest first."""
    rows = await NotificationLog(tx.session, tx.actor).list(
        page, channel_id=channel_id, state=state, event=event
    )
    return page_of(rows, delivery_out)


@router.get("/notification-deliveries/{delivery_id}", **needs("notification:read"))
async def read_notification_delivery(delivery_id: Id, tx: Tx) -> NotificationDeliveryOut:
    """One delivery, with what was sent."""
    return delivery_out(await NotificationLog(tx.session, tx.actor).get(delivery_id))


@router.post(
    "/notification-deliveries/{delivery_id}/redeliver",
    status_code=status.HTTP_202_ACCEPTED,
    **needs("notification:write"),
)
async def redeliver_notification(
    delivery_id: Id, tx: Tx, later: BackgroundTasks
) -> NotificationDeliveryOut:
    """Deliver it again, whatever became of it: the same event id, new attempts."""
    delivery = await NotificationLog(tx.session, tx.actor).redeliver(delivery_id)
    later.add_task(deliver_one, delivery.id)
    return delivery_out(delivery)


def channel_out(row: NotificationChannel) -> NotificationChannelOut:
    """The row for the API: which secrets are set, not what they are."""
    return NotificationChannelOut(**_columns(row))


def delivery_out(row: NotificationDelivery) -> NotificationDeliveryOut:
    """The row for the API."""
    answer = NotificationDeliveryOut.model_validate(row, from_attributes=True)
    if answer.state is not DeliveryState.PENDING:
        answer.next_attempt_at = None
    return answer


def _columns(row: NotificationChannel) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "kind": row.kind,
        "config": row.config,
        "secrets": secret_names(row),
        "events": row.events,
        "pipeline_ids": row.pipeline_ids,
        "is_active": row.is_active,
        "is_healthy": row.consecutive_failures < UNHEALTHY_AFTER,
        "consecutive_failures": row.consecutive_failures,
        "revision": row.revision,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }

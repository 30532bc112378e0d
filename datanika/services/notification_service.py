"""Whom an organisation wants told what. The secret part of a channel is encrypted beside it."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError
from sqlalchemy import Select, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.api import EmailConfig, SlackConfig, TelegramConfig, WebhookConfig
from datanika.contracts.events import utcnow
from datanika.contracts.notifications import (
    TEST_EVENT,
    ChannelKind,
    DeliveryState,
    Named,
    Notification,
)
from datanika.contracts.webhooks import new_webhook_secret
from datanika.errors import Conflict, InvalidInput, LimitReached, NotFound
from datanika.models import NotificationChannel, NotificationDelivery, Organization, Pipeline
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.encryption import EncryptionService
from datanika.services.paging import OLDEST, PageRequest, RowPage, contains, fetch_page, sorts_of
from datanika.services.validation import check_revision, valid_name

SORTS = sorts_of(NotificationChannel, "name", "created_at", "updated_at")
TABLE = NotificationChannel.__tablename__
MOST_CHANNELS = 50
"""Of an organisation: every run that ends looks at all of them."""
UNHEALTHY_AFTER = 20
"""Failed attempts in a row."""
ROTATION_OVERLAP = dt.timedelta(hours=24)

SIGNING, PREVIOUS, PREVIOUS_UNTIL = "signing_secret", "previous_secret", "previous_until"
_SECRET_FIELDS = {ChannelKind.SLACK: ("webhook_url",), ChannelKind.TELEGRAM: ("bot_token",)}
_CONFIGS: dict[ChannelKind, type[BaseModel]] = {
    ChannelKind.EMAIL: EmailConfig,
    ChannelKind.WEBHOOK: WebhookConfig,
    ChannelKind.SLACK: SlackConfig,
    ChannelKind.TELEGRAM: TelegramConfig,
}


class NotificationService:
    """An organisation's channels."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def create(
        self,
        name: str,
        kind: ChannelKind,
        config: dict[str, Any],
        events: Sequence[str],
        pipeline_ids: Sequence[int] = (),
        is_active: bool = True,
    ) -> tuple[NotificationChannel, str | None]:
        """``config`` holds the secrets too. The row, and a webhook's signing secret, which nobody
        can get again.

        Raises :class:`InvalidInput`, :class:`NotFound` for a pipeline, :class:`Conflict` and
        :class:`LimitReached`.
        """
        self.actor.require("notification:write")
        public, hidden = _split(kind, _validated(kind, config))
        await self._check_pipelines(pipeline_ids)
        # Two at once must not both be the fiftieth.
        await self.session.execute(
            select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(str(self.actor.org_id))))
        )
        count = select(func.count()).select_from(self._live().subquery())
        if (await self.session.scalar(count) or 0) >= MOST_CHANNELS:
            raise LimitReached(f"An organisation has at most {MOST_CHANNELS} channels.")
        signing = new_webhook_secret() if kind is ChannelKind.WEBHOOK else None
        if signing is not None:
            hidden[SIGNING] = signing
        channel = NotificationChannel(
            org_id=self.actor.org_id,
            name=valid_name(name),
            kind=kind.value,
            config=public,
            events=sorted(set(events)),
            pipeline_ids=sorted(set(pipeline_ids)),
            is_active=is_active,
        )
        await self._save(channel)
        _seal(channel, hidden)
        await self.session.flush()
        await self._audit("created", channel, new=_snapshot(channel))
        return channel, signing

    async def get(self, channel_id: int) -> NotificationChannel:
        """Raises :class:`NotFound`, also for another organisation's channel."""
        self.actor.require("notification:read")
        return await self.find(channel_id)

    async def find(self, channel_id: int, *, lock: bool = False) -> NotificationChannel:
        """The channel, for a caller that has checked its own permission."""
        query = self._live().where(NotificationChannel.id == channel_id)
        if lock:
            # key_share: a run that ends may write its deliveries meanwhile.
            query = query.with_for_update(key_share=True)
            query = query.execution_options(populate_existing=True)
        channel = await self.session.scalar(query)
        if channel is None:
            raise NotFound(
                "There is no such notification channel.", code="notification_channel_not_found"
            )
        return channel

    async def list(
        self,
        page: PageRequest = OLDEST,
        *,
        name: str | None = None,
        search: str | None = None,
        kind: ChannelKind | None = None,
    ) -> RowPage[NotificationChannel]:
        """The organisation's channels; ``search`` is a part of the name."""
        self.actor.require("notification:read")
        query = self._live()
        if name is not None:
            query = query.where(NotificationChannel.name == name)
        if search is not None:
            query = query.where(contains(NotificationChannel.name, search))
        if kind is not None:
            query = query.where(NotificationChannel.kind == kind.value)
        return await fetch_page(self.session, query, SORTS, page)

    async def update(
        self,
        channel_id: int,
        *,
        name: str | None = None,
        config: dict[str, Any] | None = None,
        events: Sequence[str] | None = None,
        pipeline_ids: Sequence[int] | None = None,
        is_active: bool | None = None,
        revision: int | None = None,
    ) -> NotificationChannel:
        """Change what is given. ``config`` replaces the old one, except that secrets left out of
        it are kept. A changed or switched-on channel counts as healthy again."""
        self.actor.require("notification:write")
        channel = await self.find(channel_id, lock=True)
        check_revision(channel.revision, revision)
        kind, hidden = ChannelKind(channel.kind), open_secrets(channel)
        old = _snapshot(channel)
        if name is not None:
            channel.name = valid_name(name)
        if config is not None:
            kept = {key: hidden[key] for key in _SECRET_FIELDS.get(kind, ()) if key in hidden}
            channel.config, given = _split(kind, _validated(kind, kept | config))
            _seal(channel, hidden | given)
        if events is not None:
            channel.events = sorted(set(events))
        if pipeline_ids is not None:
            await self._check_pipelines(pipeline_ids)
            channel.pipeline_ids = sorted(set(pipeline_ids))
        if is_active is not None:
            channel.is_active = is_active
        if config is not None or is_active:
            channel.consecutive_failures = 0
        channel.revision += 1
        await self._save(channel)
        await self._audit("updated", channel, old=old, new=_snapshot(channel))
        return channel

    async def delete(self, channel_id: int) -> None:
        """Take the channel away; what it has not delivered yet is cancelled."""
        self.actor.require("notification:delete")
        channel = await self.find(channel_id, lock=True)
        channel.deleted_at = utcnow()
        # A deleted channel has no use for its secrets.
        channel.secrets = None
        await self.session.execute(
            update(NotificationDelivery)
            .where(
                NotificationDelivery.channel_id == channel.id,
                NotificationDelivery.state == DeliveryState.PENDING.value,
            )
            .values(state=DeliveryState.CANCELLED.value, error="The channel was deleted.")
            .execution_options(synchronize_session=False)
        )
        await self.session.flush()
        await self._audit("deleted", channel, old={"name": channel.name, "kind": channel.kind})

    async def rotate_secret(self, channel_id: int) -> tuple[NotificationChannel, str, dt.datetime]:
        """A new signing secret for a webhook, and until when the old one also signs.

        Raises :class:`Conflict` ``not_a_webhook``.
        """
        self.actor.require("notification:write")
        channel = await self.find(channel_id, lock=True)
        if channel.kind != ChannelKind.WEBHOOK:
            raise Conflict("Only webhooks are signed.", code="not_a_webhook")
        hidden, until = open_secrets(channel), utcnow() + ROTATION_OVERLAP
        new = new_webhook_secret()
        _seal(
            channel,
            {SIGNING: new, PREVIOUS: hidden[SIGNING], PREVIOUS_UNTIL: until.isoformat()},
        )
        channel.revision += 1
        await self.session.flush()
        await self._audit("secret_rotated", channel, new={"previous_valid_until": until})
        return channel, new, until

    async def test(self, channel_id: int) -> NotificationDelivery:
        """A message that says that it is a test, ready to be delivered.

        Raises :class:`Conflict` ``channel_inactive``.
        """
        self.actor.require("notification:write")
        channel = await self.find(channel_id)
        check_active(channel)
        organization = await self.session.get_one(Organization, self.actor.org_id)
        now = utcnow()
        message = Notification(
            event_id=f"test:{secrets.token_hex(12)}",
            event=TEST_EVENT,
            occurred_at=now,
            organization=Named(id=organization.id, name=organization.name),
        )
        delivery = NotificationDelivery(
            org_id=self.actor.org_id,
            channel_id=channel.id,
            event_id=message.event_id,
            event=TEST_EVENT,
            payload=message.model_dump(mode="json"),
            state=DeliveryState.PENDING.value,
            next_attempt_at=now,
        )
        self.session.add(delivery)
        await self.session.flush()
        await self._audit("tested", channel)
        return delivery

    def _live(self) -> Select[tuple[NotificationChannel]]:
        return select(NotificationChannel).where(
            NotificationChannel.org_id == self.actor.org_id,
            NotificationChannel.deleted_at.is_(None),
        )

    async def _save(self, channel: NotificationChannel) -> None:
        try:
            async with self.session.begin_nested():
                self.session.add(channel)
        except IntegrityError:
            raise Conflict(
                "There is already a channel with this name.", code="name_taken", field="name"
            ) from None

    async def _check_pipelines(self, pipeline_ids: Sequence[int]) -> None:
        wanted = set(pipeline_ids)
        if not wanted:
            return
        query = select(Pipeline.id).where(
            Pipeline.org_id == self.actor.org_id,
            Pipeline.deleted_at.is_(None),
            Pipeline.id.in_(wanted),
        )
        missing = wanted - set(await self.session.scalars(query))
        if missing:
            raise NotFound(
                f"There is no pipeline {min(missing)}.",
                code="pipeline_not_found",
                field="pipeline_ids",
            )

    async def _audit(
        self,
        action: str,
        channel: NotificationChannel,
        old: dict[str, Any] | None = None,
        new: dict[str, Any] | None = None,
    ) -> None:
        await record(
            self.session, self.actor, f"notification_channel.{action}", "notification_channel",
            channel.id, old=old, new=new,
        )  # fmt: skip


_LOCK = 0x6E6F7466


def check_active(channel: NotificationChannel) -> None:
    """Raise :class:`Conflict` ``channel_inactive`` for one that is switched off."""
    if not channel.is_active:
        raise Conflict(
            "This channel is switched off.", code="channel_inactive", hint="Switch it on first."
        )


def open_secrets(channel: NotificationChannel) -> dict[str, Any]:
    """The channel's secrets in the clear, for its next delivery. Never an answer."""
    if channel.secrets is None:
        return {}
    return EncryptionService().decrypt(
        channel.secrets, org_id=channel.org_id, table=TABLE, row_id=channel.id
    )


def secret_names(channel: NotificationChannel) -> list[str]:
    """Which secrets are set. Their values stay where they are."""
    return sorted(open_secrets(channel).keys() - {PREVIOUS, PREVIOUS_UNTIL})


def _seal(channel: NotificationChannel, hidden: dict[str, Any]) -> None:
    channel.secrets = (
        EncryptionService().encrypt(hidden, org_id=channel.org_id, table=TABLE, row_id=channel.id)
        if hidden
        else None
    )


def _split(kind: ChannelKind, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``config`` without its secrets, and the secrets."""
    names = _SECRET_FIELDS.get(kind, ())
    return (
        {key: value for key, value in config.items() if key not in names},
        {key: config[key] for key in names},
    )


def _validated(kind: ChannelKind, config: dict[str, Any]) -> dict[str, Any]:
    """``config`` as its kind wants it; raises :class:`InvalidInput` without quoting it."""
    try:
        checked = _CONFIGS[kind].model_validate(config).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(["config", *map(str, first["loc"])])
        raise InvalidInput(f"{field}: {first['msg']}", field=field) from None
    for name in ("url", "webhook_url"):
        if name in checked:
            _check_url(checked[name], f"config.{name}")
    return checked


def _check_url(url: str, field: str) -> None:
    try:
        valid = bool(httpx.URL(url).host) and (httpx.URL(url).port or 1) <= 65535
    except (httpx.InvalidURL, ValueError):
        valid = False
    if not valid:
        raise InvalidInput("This is not a URL that can be called.", code="url_invalid", field=field)


def _snapshot(channel: NotificationChannel) -> dict[str, Any]:
    """What the audit log keeps: which secrets were set, not what they are."""
    return {
        "name": channel.name,
        "kind": channel.kind,
        "config": channel.config,
        "events": channel.events,
        "pipeline_ids": channel.pipeline_ids,
        "is_active": channel.is_active,
        "set": secret_names(channel),
    }

"""Notification channels and what became of their messages."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.notifications import ChannelKind, DeliveryState, NotificationEvent
from datanika.contracts.text import MAX_ID, Flag, Name

_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?([/?#][!-~]*)?$"
Url = Annotated[
    str,
    Field(
        max_length=2000,
        pattern=rf"^https?://{_HOST}",
        description="http or https, without user name and password; an international host in its "
        "ASCII form (xn--…).",
    ),
]
Email = Annotated[
    str, Field(max_length=320, pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$")
]
PipelineId = Annotated[int, Field(ge=1, le=MAX_ID)]


class EmailConfig(Body):
    to: list[Email] = Field(min_length=1, max_length=20, examples=[["data@example.com"]])


class WebhookConfig(Body):
    url: Url = Field(examples=["https://hooks.example.com/datanika"])


class SlackConfig(Body):
    """Anything that takes Slack's incoming webhooks. The URL is a secret: who has it may post."""

    webhook_url: Annotated[
        str, Field(max_length=2000, pattern=rf"^https://{_HOST}", repr=False)
    ] = Field(examples=["https://hooks.slack.com/services/T0/B0/X"])


class TelegramConfig(Body):
    chat_id: str = Field(
        pattern=r"^(-?[0-9]{1,20}|@[A-Za-z0-9_]{5,32})$",
        description="A number, or the @name of a public channel.",
        examples=["-1001234567890"],
    )
    bot_token: str = Field(
        pattern=r"^[0-9]{1,20}:[A-Za-z0-9_-]{20,100}$",
        repr=False,
        description="What BotFather gave; a secret.",
    )


class _ChannelIn(Body):
    name: Name = Field(examples=["on call"])
    events: list[NotificationEvent] = Field(
        min_length=1, max_length=50, examples=[["run.failed", "run.recovered"]]
    )
    pipeline_ids: list[PipelineId] = Field(
        default=[], max_length=500, description="Only events of these; empty: of every pipeline."
    )
    is_active: Flag = True


class EmailChannelIn(_ChannelIn):
    kind: Literal[ChannelKind.EMAIL]
    config: EmailConfig


class WebhookChannelIn(_ChannelIn):
    kind: Literal[ChannelKind.WEBHOOK]
    config: WebhookConfig


class SlackChannelIn(_ChannelIn):
    kind: Literal[ChannelKind.SLACK]
    config: SlackConfig = Field(repr=False)


class TelegramChannelIn(_ChannelIn):
    kind: Literal[ChannelKind.TELEGRAM]
    config: TelegramConfig = Field(repr=False)


NotificationChannelIn = Annotated[
    EmailChannelIn | WebhookChannelIn | SlackChannelIn | TelegramChannelIn,
    Field(discriminator="kind"),
]


class NotificationChannelPatch(Body):
    """``config`` replaces the whole configuration; a secret left out of it keeps its value."""

    name: Name | None = Field(default=None, examples=["renamed"])
    events: list[NotificationEvent] | None = Field(default=None, min_length=1, max_length=50)
    pipeline_ids: list[PipelineId] | None = Field(default=None, max_length=500)
    is_active: Flag | None = None
    config: dict[str, Any] | None = Field(default=None, repr=False)


class NotificationChannelOut(Answer):
    """Never a secret: ``secrets`` names those that are set."""

    id: int
    name: str
    kind: ChannelKind
    config: dict[str, Any]
    secrets: list[str]
    events: list[str]
    pipeline_ids: list[int]
    is_active: bool
    is_healthy: bool = Field(description="False after many failed attempts in a row.")
    consecutive_failures: int
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime


class NotificationChannelCreatedOut(NotificationChannelOut):
    signing_secret: str | None = Field(
        default=None, repr=False, description="Of a webhook; shown this once."
    )


class WebhookSecretOut(Answer):
    signing_secret: str = Field(repr=False, description="Shown this once.")
    previous_valid_until: dt.datetime = Field(
        description="Until then every webhook is signed with both secrets."
    )


class NotificationDeliveryOut(Answer):
    """One event for one channel. It may arrive more than once, always with the same event id."""

    id: int
    channel_id: int
    event: str
    event_id: str
    state: DeliveryState
    attempts: int
    next_attempt_at: dt.datetime | None = Field(description="Null unless it is pending.")
    delivered_at: dt.datetime | None
    status_code: int | None = Field(description="The receiver's last HTTP answer.")
    error: str | None = Field(description="Why the last attempt failed.")
    payload: dict[str, Any]
    created_at: dt.datetime

"""``client.notifications``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource, if_match
from datanika.contracts.api import (
    NotificationChannelCreatedOut,
    NotificationChannelIn,
    NotificationChannelOut,
    NotificationChannelPatch,
    NotificationDeliveryOut,
    WebhookSecretOut,
)
from datanika.contracts.notifications import ChannelKind, DeliveryState

Sort = Literal[
    "id", "-id", "name", "-name", "created_at", "-created_at", "updated_at", "-updated_at"
]
DeliverySort = Literal["id", "-id", "created_at", "-created_at"]


class Notifications(Resource):
    """Who is told when runs end: channels, and the deliveries through them."""

    def list(
        self,
        *,
        name: str | None = None,
        search: str | None = None,
        kind: ChannelKind | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[NotificationChannelOut]:
        """Every channel; ``search`` is a part of the name."""
        return self._items(
            NotificationChannelOut,
            "notification-channels",
            name=name,
            search=search,
            kind=kind,
            sort=sort,
            limit=page_size,
        )

    def get(self, channel_id: int) -> NotificationChannelOut:
        """One channel, and whether its messages arrive."""
        return self._get(NotificationChannelOut, f"notification-channels/{channel_id}")

    def create(
        self, channel: NotificationChannelIn, *, idempotency_key: str | None = None
    ) -> NotificationChannelCreatedOut:
        """A new channel. A webhook's answer has its signing secret, this once."""
        return self._post(
            NotificationChannelCreatedOut,
            "notification-channels",
            channel,
            idempotency_key=idempotency_key,
        )

    def update(
        self,
        channel: NotificationChannelOut | int,
        change: NotificationChannelPatch,
        *,
        revision: int | None = None,
        overwrite: bool = False,
    ) -> NotificationChannelOut:
        """Change what is given; a secret left out of ``config`` keeps its value. Raises
        :class:`PreconditionFailed` if somebody was faster, unless ``overwrite``."""
        channel_id = channel if isinstance(channel, int) else channel.id
        condition = if_match(channel, revision, overwrite)
        path = f"notification-channels/{channel_id}"
        return self._patch(NotificationChannelOut, path, change, condition)

    def delete(self, channel_id: int) -> None:
        """Take it away; what was not delivered yet is cancelled."""
        self._delete(f"notification-channels/{channel_id}")

    def test(self, channel_id: int) -> NotificationDeliveryOut:
        """Send a test message now."""
        return self._post(NotificationDeliveryOut, f"notification-channels/{channel_id}/test")

    def rotate_secret(self, channel_id: int) -> WebhookSecretOut:
        """A new signing secret for a webhook; for a day messages are signed with both."""
        return self._post(WebhookSecretOut, f"notification-channels/{channel_id}/rotate-secret")

    def deliveries(
        self,
        *,
        channel_id: int | None = None,
        state: DeliveryState | None = None,
        event: str | None = None,
        sort: DeliverySort | None = None,
        page_size: int | None = None,
    ) -> Iterator[NotificationDeliveryOut]:
        """What was sent, waits or failed; the newest first."""
        return self._items(
            NotificationDeliveryOut,
            "notification-deliveries",
            channel_id=channel_id,
            state=state,
            event=event,
            sort=sort,
            limit=page_size,
        )

    def delivery(self, delivery_id: int) -> NotificationDeliveryOut:
        """One delivery, with what was sent."""
        return self._get(NotificationDeliveryOut, f"notification-deliveries/{delivery_id}")

    def redeliver(self, delivery_id: int) -> NotificationDeliveryOut:
        """Deliver it again, with the same event id."""
        path = f"notification-deliveries/{delivery_id}/redeliver"
        return self._post(NotificationDeliveryOut, path)

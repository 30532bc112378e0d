"""What became of an organisation's notifications."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.events import utcnow
from datanika.contracts.notifications import DeliveryState
from datanika.errors import NotFound
from datanika.models import NotificationDelivery
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.notification_service import NotificationService, check_active
from datanika.services.paging import NEWEST, PageRequest, RowPage, fetch_page, rows_of, sorts_of

SORTS = sorts_of(NotificationDelivery, "created_at")


class NotificationLog:
    """An organisation's deliveries."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def list(
        self,
        page: PageRequest = NEWEST,
        *,
        channel_id: int | None = None,
        state: DeliveryState | None = None,
        event: str | None = None,
    ) -> RowPage[NotificationDelivery]:
        """The deliveries, of deleted channels too."""
        self.actor.require("notification:read")
        query = rows_of(NotificationDelivery).where(
            NotificationDelivery.org_id == self.actor.org_id
        )
        for column, value in (
            (NotificationDelivery.channel_id, channel_id),
            (NotificationDelivery.state, state),
            (NotificationDelivery.event, event),
        ):
            if value is not None:
                query = query.where(column == value)
        return await fetch_page(self.session, query, SORTS, page)

    async def get(self, delivery_id: int) -> NotificationDelivery:
        """Raises :class:`NotFound`, also for another organisation's delivery."""
        self.actor.require("notification:read")
        return await self._find(delivery_id)

    async def _find(self, delivery_id: int, *, lock: bool = False) -> NotificationDelivery:
        query = select(NotificationDelivery).where(
            NotificationDelivery.org_id == self.actor.org_id,
            NotificationDelivery.id == delivery_id,
        )
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        delivery = await self.session.scalar(query)
        if delivery is None:
            raise NotFound("There is no such delivery.", code="notification_delivery_not_found")
        return delivery

    async def redeliver(self, delivery_id: int) -> NotificationDelivery:
        """Deliver it again, or at once if it still waits: the same event id, new attempts.

        Raises :class:`NotFound` where the channel is gone, :class:`Conflict` ``channel_inactive``.
        """
        self.actor.require("notification:write")
        found = await self._find(delivery_id)
        check_active(await NotificationService(self.session, self.actor).find(found.channel_id))
        delivery = await self._find(delivery_id, lock=True)
        delivery.state = DeliveryState.PENDING.value
        delivery.attempts = 0
        delivery.next_attempt_at = utcnow()
        delivery.delivered_at = None
        delivery.error = None
        delivery.status_code = None
        await self.session.flush()
        await record(
            self.session, self.actor, "notification_delivery.redelivered", "notification_delivery",
            delivery.id, new={"channel_id": delivery.channel_id, "event_id": delivery.event_id},
        )  # fmt: skip
        return delivery

"""The organisation's queue, as it is while somebody looks at it."""

from __future__ import annotations

import asyncio

import reflex as rx

from datanika.db import get_session
from datanika.services.queue_service import Queue, QueueService
from datanika.ui.session import actor_of
from datanika.ui.state.tenant import TenantState, is_open, tenant_session
from datanika.ui.views.run_list import QueueRow, queue_row

SHOWN = 100
POLL_SECONDS = 2.0
PATH = "/queue"


class QueueState(TenantState):
    """``places``: taken places of how many; ``more``: runs that wait and are not shown."""

    runs: list[QueueRow] = []
    places: str = ""
    more: int = 0
    is_empty: bool = False

    _watching: int = 0

    @rx.event
    async def load_queue(self) -> rx.event.EventSpec:
        """The queue, now and while somebody looks at it."""
        async with tenant_session() as (session, actor):
            self._show(await QueueService(session, actor).read(SHOWN))
        self._watching += 1
        return QueueState.watch(self._watching)

    @rx.event(background=True)
    async def watch(self, number: int) -> None:
        """Read it again and again until the page is left. Each round proves the session anew."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            async with self:
                looking = self._watching == number and is_open(self, PATH)
                headers = self.router_data.get("headers", {})
            actor = await actor_of(headers) if looking else None
            if actor is None:
                return
            async with get_session(actor.scope) as session:
                found = await QueueService(session, actor).read(SHOWN)
            async with self:
                if self._watching == number:
                    self._show(found)

    def _show(self, queue: Queue) -> None:
        """Take over what was read. Only what changed is sent to the browser."""
        limit = "∞" if queue.limit is None else str(queue.limit)
        for name, value in (
            ("runs", [queue_row(run) for run in queue.items]),
            ("places", f"{queue.active} / {limit}"),
            ("more", queue.waiting - len(queue.items)),
            ("is_empty", not queue.items),
        ):
            if getattr(self, name) != value:
                setattr(self, name, value)

"""The organisation's queue, as it is while somebody looks at it."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.db import get_session
from datanika.services.actor import Actor
from datanika.services.queue_service import Queue, QueueService
from datanika.ui.shared_reads import SharedReads
from datanika.ui.state.tenant import TenantState, tenant_session
from datanika.ui.state.watching import POLL_SECONDS, Watching, watch_page
from datanika.ui.views.run_list import QueueRow, queue_row

SHOWN = 100
PATH = "/queue"


class QueueState(Watching, TenantState):
    """``places``: taken places of how many; ``more``: runs that wait and are not shown."""

    runs: list[QueueRow] = []
    places: str = ""
    more: int = 0
    is_empty: bool = False

    @rx.event
    async def load_queue(self) -> rx.event.EventSpec:
        """The queue, now and while somebody looks at it."""
        async with tenant_session() as (session, actor):
            self._show(await QueueService(session, actor).read(SHOWN))
        return QueueState.watch(self._begin_watch())

    @rx.event(background=True)
    async def watch(self, number: int) -> None:
        """Follow the queue until its page is left."""
        await watch_page(self, number, PATH, asked=tuple, read=_read_shared, show=self._show)

    def _show(self, queue: Queue, _: Any = None) -> None:
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


_shared: SharedReads[Queue] = SharedReads(POLL_SECONDS / 2)


async def _read_shared(actor: Actor, _: Any) -> Queue:
    """The queue as it was at most a second ago."""
    actor.require("run:read")

    async def read() -> Queue:
        async with get_session(actor.scope) as session:
            return await QueueService(session, actor).read(SHOWN)

    return await _shared.get(actor.org_id, read)

"""Lists that follow what happens while somebody looks at them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import reflex as rx

from datanika.services.actor import Actor
from datanika.ui.session import actor_of
from datanika.ui.state.tenant import is_open

POLL_SECONDS = 2.0
"""How old what is shown may be, more or less: pages that were opened together drift apart, so that
a hundred of them are not a hundred questions at once."""


class Watching(rx.State, mixin=True):  # type: ignore[call-arg]
    """``_watching`` counts the pages' loads: the watch of an older one ends."""

    _watching: int = 0

    def _begin_watch(self) -> int:
        self._watching += 1
        return self._watching


async def watch_page[Asked, Found](
    state: Any,
    number: int,
    path: str,
    *,
    asked: Callable[[], Asked],
    read: Callable[[Actor, Asked], Awaitable[Found]],
    show: Callable[[Found, Asked], None],
) -> None:
    """Until the page at ``path`` is left, ``read`` what is ``asked`` for and ``show`` what is new.

    ``state`` is a background handler's own, not entered. Nothing is shown without proof of the
    session: it is proven anew before each time that something new is shown.
    """
    headers = state.router_data.get("headers", {})
    actor = await actor_of(headers)
    shown: tuple[Asked, Found] | None = None
    while actor is not None:
        await asyncio.sleep(POLL_SECONDS * random.uniform(0.75, 1.25))
        if state._watching != number or not is_open(state, path):
            return
        question = asked()
        found = await read(actor, question)
        if (question, found) == shown:
            continue
        proven = await actor_of(headers)
        if proven is None or proven.org_id != actor.org_id:
            return
        actor = proven
        async with state:
            if state._watching == number and asked() == question:
                show(found, question)
                shown = question, found

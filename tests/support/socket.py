"""A websocket client that speaks Reflex's protocol (socket.io over engine.io 4), as an attacker
would: any token, any cookie, any origin, any event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect

from tests.support.web import Web

ROOT = "reflex___state____state"


class Socket:
    """``seen`` holds the text of every frame that was received."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.seen: list[str] = []
        self._marks = 0

    async def send(
        self,
        name: str,
        payload: dict[str, Any] | None = None,
        path: str = "/",
        query: dict[str, str] | None = None,
    ) -> None:
        """Send an event of a page at ``path``; ``query`` has the parameters of its route, too."""
        event = {
            "name": name,
            "payload": payload or {},
            "router_data": {"pathname": path, "asPath": path, "query": query or {}},
        }
        await self._connection.send(f"42/_event,{json.dumps(['event', event])}")

    async def listen(self, seconds: float = 1.5) -> str:
        """Everything that arrives within ``seconds`` of silence."""
        arrived: list[str] = []
        while True:
            try:
                frame = await asyncio.wait_for(self._connection.recv(), seconds)
            except TimeoutError:
                break
            if frame == "2":
                await self._connection.send("3")
                continue
            arrived.append(str(frame))
        self.seen += arrived
        return "\n".join(arrived)

    async def answers(self, seconds: float = 30) -> str:
        """What arrives until all that was sent before is answered: a tab's events are handled in
        their order. Raises TimeoutError when that takes longer than ``seconds``."""
        self._marks += 1
        value = self._marks % 2 == 0
        await self.send(f"{ROOT}.set_is_hydrated", {"value": value})
        arrived: list[str] = []
        async with asyncio.timeout(seconds):
            while not arrived or f'"is_hydrated_rx_state_":{json.dumps(value)}' not in arrived[-1]:
                frame = str(await self._connection.recv())
                if frame == "2":
                    await self._connection.send("3")
                else:
                    arrived.append(frame)
        self.seen += arrived
        return "\n".join(arrived)

    async def hydrate(self, path: str = "/") -> str:
        """What a tab is sent when it opens a page, its load events included."""
        await self.send(f"{ROOT}.hydrate_and_load", path=path)
        return await self.listen()


@asynccontextmanager
async def open_socket(
    web: Web,
    *,
    cookie: str | None = None,
    token: str | None = None,
    origin: str | None = None,
) -> AsyncIterator[Socket]:
    """A connected socket. ``cookie`` is a session's, ``token`` a tab's."""
    address = web.url.replace("http://", "ws://")
    query = f"token={token or uuid4()}&EIO=4&transport=websocket"
    headers = {"Cookie": f"datanika_session={cookie}"} if cookie else {}
    async with connect(
        f"{address}/_event/?{query}",
        additional_headers=headers,
        origin=origin,  # type: ignore[arg-type]
        max_size=None,
    ) as connection:
        await connection.recv()
        await connection.send("40/_event,")
        socket = Socket(connection)
        await socket.listen(0.5)
        yield socket

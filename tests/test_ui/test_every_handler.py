"""Every event handler of every state, called over a raw websocket by whoever may not: nobody, a
viewer, and the owner of another organisation. A new handler is called without a line here."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

import datanika.ui.state as states
from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.models import Membership
from datanika.services.auth import AuthService
from datanika.services.run_service import RunService
from datanika.ui.guard import PUBLIC_EVENTS
from datanika.ui.state.tenant import tenant_states
from tests.support import story as stories
from tests.support.furnished import furnish
from tests.support.socket import Socket, open_socket
from tests.support.story import Story
from tests.support.web import Web

SECRETS = ("Demo Airlines", "nyc_flights", "367687", "367,687")
OWNED = ("connections", "notification_channels", "pipelines", "transformations")
KEPT = (
    "api_keys", "backfills", "connections", "cursor_versions", "invitations", "memberships",
    "notification_channels", "organizations", "pipelines", "pipeline_dependencies",
    "pipeline_versions", "schedules", "transformations", "users",
)  # fmt: skip


def handlers() -> Iterator[tuple[str, dict[str, type]]]:
    """Name and parameters of every handler that only those who are logged in may reach."""
    for module in pkgutil.iter_modules(states.__path__):
        importlib.import_module(f"{states.__name__}.{module.name}")
    for cls in tenant_states():
        for name, handler in cls.event_handlers.items():
            full = f"{cls.get_full_name()}.{name}"
            if full not in PUBLIC_EVENTS:
                own = list(inspect.signature(handler.fn).parameters.values())[1:]
                yield full, {one.name: one.annotation for one in own}


ALL = sorted(handlers())


def payload(parameters: dict[str, Any], number: int) -> dict[str, Any]:
    """Arguments that say as much as possible: ids are ``number``."""
    return {
        key: number if str(kind).startswith("int") else {} if "dict" in str(kind) else str(number)
        for key, kind in parameters.items()
    }


async def attack(socket: Socket, story: Story, run_id: int) -> list[str]:
    """Call every handler on everything of the story that has an id; what each was answered."""
    answers = []
    numbers = {run_id, *await ids_of(story.actor.org_id)}
    for name, parameters in ALL:
        for number in numbers:
            path, query = f"/runs/{number}", {"run_id": str(number), "pipeline_id": str(number)}
            await socket.send(name, payload(parameters, number), path, query)
        answers.append(await socket.answers())
    # What a background handler says comes later.
    await socket.listen(1.0)
    return answers


async def ids_of(org_id: int) -> set[int]:
    """The ids of what the organisation has: one of each kind."""
    async with get_session(SYSTEM) as session:
        found = [
            await session.scalar(
                text(f"SELECT max(id) FROM {table} WHERE org_id = :org_id"), {"org_id": org_id}
            )
            for table in OWNED
        ]
    return {number for number in found if number is not None}


async def stored() -> list[Any]:
    """Everything that somebody may own, and what was asked of runs."""
    async with get_session(SYSTEM) as session:
        found: list[Any] = [
            (
                await session.execute(
                    text(f"SELECT md5(string_agg(t::text, '|' ORDER BY t.id)) FROM {table} t")
                )
            ).scalar()
            for table in KEPT
        ]
        runs = text("SELECT id, trigger, state FROM runs ORDER BY id")
        return [*found, *(await session.execute(runs)).all()]


async def cookie_of(email: str) -> str:
    async with get_session(SYSTEM) as session:
        return (await AuthService(session).create_session(email, stories.PASSWORD)).token


@pytest.fixture
async def victim(web: Web) -> tuple[Story, int]:
    """An organisation that has everything, and a queued run of it."""
    story = await stories.make_story()
    await furnish(story)
    async with get_session(story.actor.scope) as session:
        run = await RunService(session, story.actor).trigger(story.pipeline_id, uuid4().hex)
    return story, run.id


async def test_nobody_reaches_a_handler(web: Web, victim: tuple[Story, int]) -> None:
    before = await stored()
    async with open_socket(web) as socket:
        await socket.hydrate("/")
        answers = await attack(socket, *victim)
        told = "\n".join(socket.seen)
    for (name, _), answer in zip(ALL, answers, strict=True):
        assert "_redirect" in answer and "/login" in answer, name
    assert not [secret for secret in (*SECRETS, victim[0].actor.email) if secret in told]
    assert await stored() == before


async def test_a_viewer_changes_nothing(web: Web, victim: tuple[Story, int]) -> None:
    story, run_id = victim
    viewer = await stories.register(stories.new_email(), "Elsewhere")
    async with get_session(SYSTEM) as session:
        place = {"org_id": story.actor.org_id, "user_id": viewer.user_id}
        session.add(Membership(**place, role=Role.VIEWER))
        opened = await AuthService(session).create_session(
            viewer.email, stories.PASSWORD, story.actor.org_id
        )
    before = await stored()
    async with open_socket(web, cookie=opened.token) as socket:
        assert "Demo Airlines" in await socket.hydrate("/")
        answers = await attack(socket, story, run_id)
    refused = {
        name.rpartition(".")[2]
        for (name, _), answer in zip(ALL, answers, strict=True)
        if "error.permission_denied" in answer
    }
    assert refused >= {"run_pipeline", "cancel", "run_again"}
    assert await stored() == before


async def test_another_organisations_owner_is_told_and_changes_nothing(
    web: Web, victim: tuple[Story, int]
) -> None:
    eve = await stories.register(stories.new_email(), "Eve's Cargo")
    cookie = await cookie_of(eve.email)
    before = await stored()
    async with open_socket(web, cookie=cookie) as socket:
        assert "Eve's Cargo" in await socket.hydrate("/")
        await attack(socket, *victim)
        told = "\n".join(socket.seen)
    assert not [secret for secret in (*SECRETS, victim[0].actor.email) if secret in told]
    assert await stored() == before

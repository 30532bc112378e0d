"""Nobody who is not logged in reaches a handler or is sent a tenant's value."""

from __future__ import annotations

from uuid import uuid4

import pytest
import reflex as rx
from sqlalchemy import func, select, update
from websockets.exceptions import InvalidStatus

from datanika.db import SYSTEM, get_session
from datanika.models import Membership, Run
from datanika.services.auth import AuthService
from datanika.services.login_sessions import LoginSessions
from datanika.ui.guard import PUBLIC_EVENTS
from datanika.ui.state.tenant import TenantState, tenant_states
from tests.support import story as stories
from tests.support.socket import ROOT, open_socket
from tests.support.web import Web

RUNS, PIPELINES, RUN_PAGE = (
    f"{ROOT}.datanika___ui___state___tenant____tenant_state.datanika___ui___state___{name}"
    for name in (
        "run_list_state____run_list_state",
        "pipeline_list_state____pipeline_list_state",
        "run_state____run_page_state",
    )
)


async def log_in(email: str) -> str:
    """The value of a new session's cookie."""
    async with get_session(SYSTEM) as session:
        return (await AuthService(session).create_session(email, stories.PASSWORD)).token


async def count_runs(pipeline_id: int) -> int:
    async with get_session(SYSTEM) as session:
        query = select(func.count()).select_from(Run).where(Run.pipeline_id == pipeline_id)
        return int(await session.scalar(query) or 0)


async def test_anonymous_events_are_refused_and_hydration_tells_nothing(web: Web) -> None:
    story = await stories.make_story()
    run_id = await stories.whole_run(story)
    async with open_socket(web) as socket:
        hydrated = await socket.hydrate(f"/runs/{run_id}")
        assert f'"/login?next=/runs/{run_id}"' in hydrated
        for name, payload in (
            (f"{RUNS}.load_runs", {}),
            (f"{RUN_PAGE}.load_run", {}),
            (f"{RUN_PAGE}.refresh", {}),
            (f"{RUN_PAGE}.cancel", {}),
            (f"{PIPELINES}.run_pipeline", {"pipeline_id": story.pipeline_id}),
        ):
            await socket.send(name, payload, "/runs/1")
            answer = await socket.listen(0.7)
            assert "_redirect" in answer and "/login" in answer, name
        told = "\n".join(socket.seen)
    for secret in ("Demo Airlines", "nyc_flights", story.actor.email, "367687"):
        assert secret not in told
    assert await count_runs(story.pipeline_id) == 1


async def test_the_session_cookie_never_comes_back(web: Web) -> None:
    story = await stories.make_story()
    cookie = await log_in(story.actor.email)
    async with open_socket(web, cookie=cookie) as socket:
        assert "Demo Airlines" in await socket.hydrate("/")
        assert cookie not in "\n".join(socket.seen)


async def test_a_tab_forgets_when_its_session_ends_or_its_user_changes(web: Web) -> None:
    story = await stories.make_story()
    await stories.whole_run(story)
    eve = await stories.register(stories.new_email(), "Eve's Cargo")
    cookie, tab = await log_in(story.actor.email), str(uuid4())
    async with open_socket(web, cookie=cookie, token=tab) as socket:
        assert "nyc_flights" in await socket.hydrate("/runs")
        async with get_session(SYSTEM) as session:
            await LoginSessions(session).revoke_by_token(cookie)
        # The socket is still open: its next event is refused and the tab is emptied.
        await socket.send(f"{RUNS}.load_runs")
        answer = await socket.listen()
        assert "_redirect" in answer and "nyc_flights" not in answer
        assert '"runs_rx_state_":[]' in answer.replace(" ", "")
    # Somebody who learned the tab's token gets nothing, with or without a session of their own.
    for other in (None, await log_in(eve.email)):
        async with open_socket(web, cookie=other, token=tab) as socket:
            told = await socket.hydrate("/runs")
            assert "nyc_flights" not in told and "Demo Airlines" not in told
            assert ("Eve's Cargo" in told) == (other is not None)


async def test_who_is_in_no_organisation_is_told_so_and_reaches_nothing(web: Web) -> None:
    story = await stories.make_story()
    cookie = await log_in(story.actor.email)
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(Membership)
            .where(Membership.user_id == story.actor.user_id)
            .values(deleted_at=func.now())
        )
    nowhere = await log_in(story.actor.email)
    # The older session is of the organisation that was left: it is over.
    for one, page in ((nowhere, "/no-organization"), (cookie, "/login?next=")):
        async with open_socket(web, cookie=one) as socket:
            assert page in await socket.hydrate("/")
            payload = {"pipeline_id": story.pipeline_id}
            await socket.send(f"{PIPELINES}.run_pipeline", payload, "/pipelines")
            assert page in await socket.listen(0.7)
            told = "\n".join(socket.seen)
        assert "Demo Airlines" not in told and "nyc_flights" not in told
    assert await count_runs(story.pipeline_id) == 0


async def test_foreign_ids_do_not_exist(web: Web) -> None:
    theirs = await stories.make_story(organization="Eve's Cargo")
    run_id = await stories.start_run(theirs)
    ada = await stories.register(stories.new_email(), "Acme")
    async with open_socket(web, cookie=await log_in(ada.email)) as socket:
        await socket.hydrate("/pipelines")
        await socket.send(
            f"{PIPELINES}.run_pipeline", {"pipeline_id": theirs.pipeline_id}, "/pipelines"
        )
        assert "error.not_found" in await socket.listen()
        for event in ("load_run", "refresh", "compare", "retry", "run_again", "cancel"):
            await socket.send(f"{RUN_PAGE}.{event}", {}, f"/runs/{run_id}", {"run_id": str(run_id)})
        assert "nyc_flights" not in await socket.listen()
    assert await count_runs(theirs.pipeline_id) == 1


async def test_other_sites_cannot_open_the_socket(web: Web) -> None:
    story = await stories.make_story()
    cookie = await log_in(story.actor.email)
    with pytest.raises(InvalidStatus):
        async with open_socket(web, cookie=cookie, origin="https://evil.example"):
            pass
    async with open_socket(web, cookie=cookie, origin=web.url) as socket:
        assert "Demo Airlines" in await socket.hydrate("/")


def test_the_events_open_to_all_exist_and_no_tenant_state_has_one() -> None:
    for name in PUBLIC_EVENTS:
        state, handler = name.rsplit(".", 1)
        cls = rx.State.get_class_substate(state)
        assert handler in cls.event_handlers, name
        assert not issubclass(cls, TenantState) or handler in ("load_login", "load_invitation")


def test_a_tenants_values_start_empty_and_are_not_computed() -> None:
    for cls in tenant_states():
        own = {name: field.default_value() for name, field in cls.get_fields().items()}
        texts = [value for name, value in own.items() if isinstance(value, str)]
        assert set(texts) <= {"", "/"}, cls
        assert set(cls.computed_vars) == set(), cls

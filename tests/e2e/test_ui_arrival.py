"""On a slow network: what a page showed before is gone when another one is opened."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from datanika.contracts.spec import TransformationSpec
from datanika.db import get_session
from datanika.services.transformation_service import TransformationService
from tests.support import story as stories
from tests.support.browser import browser, log_in, page
from tests.support.web import Web

pytestmark = pytest.mark.e2e

__all__ = ["browser", "page"]

SLOW_S = 1.0


async def test_a_page_shows_nothing_of_the_page_before_it(page: Page, web: Web) -> None:
    pause = 0.0

    async def answer_late(browser_side: WebSocketRoute) -> None:
        server_side = browser_side.connect_to_server()
        waiting: asyncio.Queue[tuple[float, str | bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def deliver() -> None:
            while True:
                at, message = await waiting.get()
                await asyncio.sleep(max(0.0, at - loop.time()))
                browser_side.send(message)

        server_side.on_message(lambda message: waiting.put_nowait((loop.time() + pause, message)))
        deliveries.append(loop.create_task(deliver()))

    deliveries: list[asyncio.Task[None]] = []
    await page.route_web_socket("**/_event/**", answer_late)
    story = await stories.make_story()
    first = await stories.whole_run(story)
    second = await stories.whole_run(story)
    await log_in(page, web, story.actor.email)
    heading = page.get_by_role("heading", level=1)
    arriving = page.locator(".arriving")

    await page.get_by_role("link", name="Runs", exact=True).click()
    await page.get_by_role("link", name=f"#{first}", exact=True).click()
    await expect(heading).to_have_text(f"nyc_flights #{first}")
    await page.get_by_role("link", name="Runs", exact=True).click()
    await expect(heading).to_have_text("Runs")

    pause = SLOW_S
    await page.get_by_role("link", name=f"#{second}", exact=True).click()
    await expect(arriving).to_be_visible()
    await expect(heading).to_have_count(0)
    await expect(heading).to_have_text(f"nyc_flights #{second}")

    # The same address again: what was there is not taken for what is there now.
    await page.get_by_role("link", name="Runs", exact=True).click()
    await page.get_by_role("link", name=f"#{second}", exact=True).click()
    await expect(arriving).to_be_visible()
    await expect(heading).to_have_text(f"nyc_flights #{second}")

    # And one whole load of a tab that knows the address already.
    await page.reload()
    await expect(arriving.or_(page.locator("main.loading"))).to_be_visible()
    await expect(heading).to_have_text(f"nyc_flights #{second}")
    for delivery in deliveries:
        delivery.cancel()


async def test_what_is_typed_stays_when_the_connection_breaks(page: Page, web: Web) -> None:
    """The server still holds the broken connection for the tab's, so that the tab gets another
    state, which knows only what is saved: as after a restart of the server."""
    sockets: list[WebSocketRoute] = []

    async def pass_on(browser_side: WebSocketRoute) -> None:
        browser_side.connect_to_server()
        sockets.append(browser_side)

    async def break_connection() -> None:
        known = len(sockets)
        async with page.expect_event(
            "websocket", predicate=lambda socket: "/_event" in socket.url
        ) as opened:
            await sockets[-1].close(code=1012)
        socket = await opened.value
        # The page's own events have run when this is sent.
        await socket.wait_for_event(
            "framereceived", predicate=lambda frame: '"is_hydrated_rx_state_":true' in str(frame)
        )
        assert len(sockets) > known

    await page.route_web_socket("**/_event/**", pass_on)
    story = await stories.make_story()
    owner = story.actor
    async with get_session(owner.scope) as session:
        (model, *_) = (await TransformationService(session, owner).list()).rows
        saved = TransformationSpec.model_validate(model.spec).sql
    await log_in(page, web, owner.email)

    await page.get_by_role("link", name="Settings", exact=True).click()
    name = page.get_by_label("Name of the organisation")
    await name.fill("Half a name")
    await break_connection()
    await expect(name).to_have_value("Half a name")

    await page.get_by_role("link", name="Transformations", exact=True).click()
    await page.get_by_role("link", name=model.name, exact=True).click()
    code = page.get_by_label("Code", exact=True)
    await code.click()
    await page.keyboard.press("Control+End")
    await page.keyboard.insert_text("\n-- {{ env_var('HOME') }}")
    problems = page.get_by_role("status", name="Problems in the code")
    await expect(problems).to_contain_text("env_var() may not be called")
    await break_connection()
    await expect(code).to_contain_text("env_var('HOME')")
    await expect(problems).to_contain_text("env_var() may not be called")
    await page.keyboard.press("Control+z")
    await expect(problems).not_to_contain_text("env_var()")
    await page.keyboard.insert_text("-- kept")
    await break_connection()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".toast")).to_have_text("Saved as a new version.")
    async with get_session(owner.scope) as session:
        row = await TransformationService(session, owner).get(model.id)
        assert row.spec["sql"] == f"{saved}-- kept"

    await page.get_by_role("link", name="Pipelines", exact=True).click()
    await page.get_by_role("link", name="nyc_flights", exact=True).click()
    nodes = page.locator(".react-flow__node")
    await expect(nodes).to_have_count(2)
    await page.get_by_role("button", name="Transform step").click()
    await expect(nodes).to_have_count(3)
    await expect(page.get_by_text("not saved")).to_be_visible()
    await break_connection()
    await expect(nodes).to_have_count(3)
    await expect(page.locator("#save")).to_be_visible()

"""The pictures of the documentation: ``python -m tests.e2e.screenshots`` writes docs/images.

A test like any other, so that it gets the test's servers, but collected only when asked for.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path

from playwright.async_api import Browser, Page
from sqlalchemy import update

from datanika.contracts.enums import RunTrigger
from datanika.contracts.events import Failure, utcnow
from datanika.db import SYSTEM, get_session
from datanika.models import Run
from tests.e2e.test_ui_browser import invite
from tests.support import story as stories
from tests.support.browser import browser, log_in
from tests.support.dependencies import needs_fresh, trigger
from tests.support.furnished import furnish
from tests.support.pipelines import make_pipeline
from tests.support.story import Story
from tests.support.web import Web

IMAGES = Path(__file__).parents[2] / "docs" / "images"

__all__ = ["browser"]


async def test_screenshots(browser: Browser, web: Web) -> None:
    IMAGES.mkdir(exist_ok=True)
    story = await stories.make_story("ada@demo-airlines.example")
    await _history(story)
    live = await _live_run(story)
    areas = await _areas(story)
    for theme in ("light", "dark"):
        context = await browser.new_context(
            viewport={"width": 1360, "height": 850},
            color_scheme=theme,
            locale="en-GB",
        )
        page = await context.new_page()
        await page.goto(f"{web.url}/login")
        await page.get_by_label("Email").wait_for()
        await _shoot(page, "login", theme)
        await log_in(page, web, story.actor.email)
        await page.locator(".timeline").wait_for()
        await _shoot(page, "home", theme)
        await page.get_by_role("link", name="Runs", exact=True).click()
        await page.get_by_role("cell", name="nyc_flights").first.wait_for()
        await _shoot(page, "runs", theme)
        await page.goto(f"{web.url}/runs/{live}")
        await page.locator(".graph-node.is-running").wait_for()
        await _shoot(page, "run", theme)
        if theme == "light":
            await page.screenshot(path=IMAGES / "run-full.png", full_page=True)
            await page.get_by_role("link", name="Pipelines", exact=True).click()
            await page.get_by_role("button", name="Run now").wait_for()
            await _shoot(page, "pipelines", theme)
            await _wait_in_line(story)
            await page.get_by_role("link", name="Queue").click()
            await page.get_by_role("row").nth(2).wait_for()
            await _shoot(page, "queue", theme)
            await _shoot_areas(page, web, areas)
        else:
            await _shoot_at(page, f"{web.url}{areas['builder']}", "builder", theme)
        await context.close()
    await _shoot_phone(browser, web, story, live)
    page = await browser.new_page(viewport={"width": 1360, "height": 850}, locale="en-GB")
    token = await invite("Demo Airlines", "grace@demo-airlines.example")
    await page.goto(f"{web.url}/invitation?token={token}")
    await page.get_by_role("heading", name="You are invited").wait_for()
    await _shoot(page, "invitation", "light")
    await page.close()


async def _areas(story: Story) -> dict[str, str]:
    """Name of a picture -> address of a page that shows the story's things."""
    ids = await furnish(story, run=False)
    return {
        "connections": "/connections",
        "connections-new": "/connections/new",
        "connection": f"/connections/{ids['connection_id']}",
        "builder": f"/pipelines/{story.pipeline_id}",
        "schedule": f"/pipelines/{story.pipeline_id}/schedule",
        "transformations": "/transformations",
        "editor": f"/transformations/{ids['transformation_id']}",
        "catalog": "/catalog",
        "members": "/settings/members",
        "usage": "/settings",
        "audit": "/settings/audit",
        "operators": "/operators",
    }


async def _shoot_areas(page: Page, web: Web, areas: dict[str, str]) -> None:
    for name, path in areas.items():
        await _shoot_at(page, f"{web.url}{path}", name, "light")


async def _shoot_at(page: Page, url: str, name: str, theme: str) -> None:
    await page.goto(url)
    await page.locator("h1").first.wait_for()
    await page.locator(".spinner").wait_for(state="detached")
    await page.wait_for_load_state("networkidle")
    await _shoot(page, name, theme)


async def _shoot_phone(browser: Browser, web: Web, story: Story, live: int) -> None:
    """Two pages as a telephone shows them to who reads from right to left."""
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    await log_in(page, web, story.actor.email)
    # Only now: the organisation's menu, which says that the login is done, is folded there.
    await page.set_viewport_size({"width": 390, "height": 800})
    await context.add_cookies([{"name": "datanika_locale", "value": "ar", "url": web.url}])
    await page.goto(web.url)
    await page.locator("html[dir=rtl] .timeline").wait_for()
    await _shoot(page, "home-phone-ar", "light")
    await page.goto(f"{web.url}/runs/{live}")
    await page.locator("html[dir=rtl] .graph-node.is-running").wait_for()
    await _shoot(page, "run-phone-ar", "light")
    await context.close()


async def _wait_in_line(story: Story) -> None:
    """A run behind one that runs, and one that needs fresher data."""
    report = (await make_pipeline(story.actor, "delay_report")).id
    await needs_fresh(story.actor, report, story.pipeline_id)
    await trigger(story.actor, story.pipeline_id)
    await trigger(story.actor, report)


async def _shoot(page: Page, name: str, theme: str) -> None:
    # Fonts, the graph's fit and the transitions settle.
    await page.wait_for_timeout(700)
    suffix = "" if theme == "light" else "-dark"
    await page.screenshot(path=IMAGES / f"{name}{suffix}.png")


async def _history(story: Story) -> None:
    """A week of runs, one of which failed."""
    for days in range(7, 0, -1):
        begin = utcnow() - dt.timedelta(days=days, minutes=days * 7)
        if days == 3:
            run_id = await stories.start_run(story, RunTrigger.SCHEDULE)
            await stories.play(story, run_id, stories.load_events(begin)[:6])
            await stories.finish(
                story,
                run_id,
                Failure(
                    code="source_unreachable",
                    message="nyc/planes.parquet could not be read.",
                    hint="Check that the file is there and run again.",
                ),
            )
        else:
            trigger = RunTrigger.API if days == 7 else RunTrigger.SCHEDULE
            run_id = await stories.whole_run(story, trigger)
        await _backdate(run_id, begin, begin + dt.timedelta(seconds=11.4 + days * 0.37))


async def _live_run(story: Story) -> int:
    run_id = await stories.start_run(story)
    begin = utcnow() - dt.timedelta(seconds=12)
    loaded = stories.load_events(begin)
    plan = await stories.plan_of(story, run_id)
    await stories.play(story, run_id, loaded)
    await stories.play(story, run_id, stories.transform_events(plan, loaded[-1].at, nodes=6))
    await _backdate(run_id, begin, None)
    return run_id


async def _backdate(run_id: int, begin: dt.datetime, end: dt.datetime | None) -> None:
    """Let the run have happened then. The lease is long: no worker renews it here."""
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(Run)
            .where(Run.id == run_id)
            .values(
                created_at=begin,
                started_at=begin,
                finished_at=end,
                lease_expires_at=None if end else utcnow() + dt.timedelta(hours=1),
            )
        )


if __name__ == "__main__":
    # A fresh process: pytest rewrites the test support modules, which are imported here already.
    os.execv(sys.executable, [sys.executable, "-m", "pytest", "-q", __file__])

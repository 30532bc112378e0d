"""A person looks after pipelines: what failed and why, the way out, the log as it is written."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from playwright.async_api import Page, Route, expect

from datanika.contracts.enums import LogLevel, Role, RunState, StepState
from datanika.contracts.events import (
    ColumnChange,
    Failure,
    LogLine,
    NodeFinished,
    RunEvent,
    RunFinish,
    SchemaChanged,
    utcnow,
)
from datanika.db import SYSTEM, get_session
from datanika.models import Membership, Schedule
from datanika.services.run_recorder import RunRecorder
from tests.support import story as stories
from tests.support.browser import browser, log_in, page
from tests.support.story import Story
from tests.support.web import Web

pytestmark = pytest.mark.e2e

__all__ = ["browser", "page"]

CAUSE = Failure(
    code="source_unreachable",
    message="nyc/flights.parquet could not be read.",
    hint="Check that the file is there and run again.",
)


def failed_load() -> list[RunEvent]:
    """All tables but the last, which another source than before made fail."""
    common = {"step_key": "load_nyc", "node": "raw.flights"}
    counted = {
        "verdict": "quarantined",
        "source_rows": 336_776,
        "loaded_rows": 336_764,
        "quarantined_rows": 12,
        "destination_rows_after": 336_764,
        "committed": False,
    }
    return [
        *stories.load_events(utcnow() - dt.timedelta(seconds=20))[:-3],
        SchemaChanged(
            **common, changes=(ColumnChange(change="added", column="gate", after="text"),)
        ),
        NodeFinished(
            **common,
            name="raw.flights",
            resource_type="table",
            state=StepState.FAILED,
            failure=CAUSE,
            details={**counted, "compiled_sql": "select 1 as flights"},
        ),
        LogLine(**common, level=LogLevel.ERROR, message="nyc/flights.parquet: gone\n  line two"),
    ]


async def failed_run(story: Story) -> int:
    run_id = await stories.start_run(story)
    await stories.play(story, run_id, failed_load())
    await stories.finish(story, run_id, CAUSE)
    return run_id


async def test_a_failed_run_has_a_cause_a_way_out_and_a_second_chance(page: Page, web: Web) -> None:
    story = await stories.make_story()
    good = await stories.whole_run(story)
    failed = await failed_run(story)
    await log_in(page, web, story.actor.email)
    # Home names it first, with its cause; its run is one click away.
    await expect(page.get_by_text("nyc/flights.parquet could not be read.").first).to_be_visible()
    await page.get_by_role("link", name="Runs", exact=True).click()
    await page.get_by_label("Filter by state").select_option("failed")
    await expect(page.get_by_role("row")).to_have_count(2)
    await expect(page.get_by_role("row").nth(1)).to_contain_text("could not be read")
    await page.get_by_label("Filter by trigger").select_option("schedule")
    await expect(page.get_by_text("No run matches.")).to_be_visible()
    await page.get_by_role("button", name="Clear").click()
    await expect(page.get_by_role("row")).to_have_count(3)
    await page.get_by_role("link", name=f"#{failed}").click()

    cause = page.get_by_role("alert").filter(has_text="What went wrong")
    await expect(cause).to_contain_text("Check that the file is there and run again.")
    await expect(cause).to_contain_text("source_unreachable")
    # What is known of the table: numbers at both ends, and what its source has become.
    counted = page.get_by_role("region", name="What was counted").get_by_role("row").nth(1)
    await expect(counted).to_contain_text("336,764")
    await expect(counted).to_contain_text("quarantined")
    await expect(counted).to_contain_text("+ gate")
    # A click on the node tells the rest.
    await page.locator(".graph-node.is-failed").click()
    panel = page.get_by_role("complementary", name="raw.flights")
    await expect(panel).to_contain_text("select 1 as flights")
    await expect(panel).to_contain_text("gone")
    await panel.get_by_role("button", name="Filter the log").click()
    log = page.get_by_role("log")
    await expect(log.locator(".log-line")).to_have_count(2)
    await panel.press("Escape")
    await expect(panel).to_have_count(0)
    # The log: by node, by level, by text.
    await page.get_by_role("button", name="raw.flights ✕").click()
    await expect(log.locator(".log-line")).to_have_count(7)
    await page.get_by_label("Level").select_option("error")
    await expect(log.locator(".log-line")).to_have_count(2)
    await page.get_by_label("Level").select_option("debug")
    await page.get_by_role("searchbox").fill("PLANES")
    await expect(log.locator(".log-line")).to_have_count(1)
    async with page.expect_download() as saved:
        await page.get_by_role("button", name="Download").click()
    text = (await (await saved.value).path()).read_text("utf-8")
    assert "ERROR load_nyc nyc/flights.parquet: gone" in text and "raw.planes: 3,322" in text

    await page.get_by_role("button", name="Compare with the last good run").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("link", name=f"#{good}")).to_be_visible()
    flights = dialog.get_by_role("row").filter(has_text="raw.flights")
    await expect(flights).to_contain_text("336,776")
    await expect(flights).to_contain_text("failed")
    await dialog.get_by_role("button", name="Close").click()

    await page.get_by_role("button", name="Retry from the failure").click()
    await expect(page.get_by_role("link", name=f"#{failed}")).to_be_visible()
    await expect(page.locator("h1 + span .badge")).to_have_text("queued")
    await expect(page.locator(".graph-node.is-skipped")).to_have_count(4)
    # It is asked for before it is stopped.
    await page.get_by_role("button", name="Cancel run").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("everything else is rolled back")
    await dialog.get_by_role("button", name="Cancel run").click()
    await expect(page.locator("h1 + span .badge")).to_have_text("cancelled")


async def test_the_log_is_followed_while_it_is_written(page: Page, web: Web) -> None:
    story = await stories.make_story()
    run_id = await stories.start_run(story)
    await stories.play(story, run_id, stories.load_events(utcnow(), until="flights"))
    await log_in(page, web, story.actor.email)
    await page.goto(f"{web.url}/runs/{run_id}")
    running = page.locator(".graph-node.is-running")
    await expect(running).to_contain_text("224,517 rows")
    await expect(page.get_by_role("progressbar").first).to_be_visible()
    log = page.get_by_role("log")
    await expect(log).to_contain_text("raw.weather: 26,115 rows loaded")

    async def write(first: int, last: int) -> None:
        lines = [LogLine(step_key="load_nyc", message=f"line {n}") for n in range(first, last)]
        await stories.play(story, run_id, lines)

    await write(0, 3000)
    await expect(log).to_contain_text("line 2999")
    # Only what can be seen is in the page.
    assert await log.locator(".log-line").count() < 100
    # Who reads further up stays there, and comes back.
    await log.evaluate("element => element.scrollTo(0, 0)")
    await expect(log).to_contain_text("Extracting 5 tables")
    await write(3000, 3400)
    await expect(page.locator("#log-count")).to_have_text("3,405 lines")
    await expect(log).to_contain_text("Extracting 5 tables")
    await page.get_by_role("button", name="Follow the end").click()
    await expect(log).to_contain_text("line 3399")
    # A broken connection is taken up again where it was.
    await page.context.set_offline(True)
    await page.evaluate("window.dispatchEvent(new Event('offline'))")
    await write(3400, 3500)
    await asyncio.sleep(1)
    await page.context.set_offline(False)
    await expect(page.locator("#log-count")).to_have_text("3,505 lines")
    # Stopped, the run says what of it is in the destination.
    await page.get_by_role("button", name="Cancel run").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
    await expect(page.locator("h1 + span .badge")).to_have_text("cancelling")
    async with get_session(story.actor.scope) as session:
        end = RunFinish(state=RunState.CANCELLED)
        await RunRecorder(session, run_id, 1).finish(end)
    await expect(page.locator("h1 + span .badge")).to_have_text("cancelled")
    await expect(page.get_by_role("button", name="Retry from the failure")).to_be_visible()
    counted = page.get_by_role("region", name="What was counted")
    await expect(counted.get_by_role("row").filter(has_text="raw.planes")).to_contain_text("yes")
    await expect(counted.get_by_role("row").filter(has_text="raw.flights")).to_contain_text("no")


async def test_an_answer_that_was_cut_off_is_asked_for_again(page: Page, web: Web) -> None:
    """Which happens to whoever goes on to another page meanwhile."""
    story = await stories.make_story()
    run_id = await stories.whole_run(story)
    await log_in(page, web, story.actor.email)
    asked = 0

    async def answer(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await route.fulfill(status=200, content_type="application/json", body='{"boxes": [')
        else:
            await route.continue_()

    await page.route(f"**/api/v1/runs/{run_id}/graph", answer)
    await page.goto(f"{web.url}/runs/{run_id}")
    await expect(page.locator(".graph-node.is-succeeded")).to_have_count(13)
    assert asked >= 2


async def test_a_viewer_sees_a_run_but_cannot_touch_it(page: Page, web: Web) -> None:
    story = await stories.make_story()
    failed = await failed_run(story)
    viewer = await stories.register(stories.new_email(), "Elsewhere")
    async with get_session(SYSTEM) as session:
        place = {"org_id": story.actor.org_id, "user_id": viewer.user_id}
        session.add(Membership(**place, role=Role.VIEWER))
    await log_in(page, web, viewer.email)
    # They are in two organisations: the run is of the other one.
    await page.goto(f"{web.url}/runs/{failed}")
    await expect(page.get_by_role("alert")).to_contain_text("no such thing in this organisation")
    answer = await page.request.put(
        f"{web.url}/api/v1/auth/session",
        data={"org_id": story.actor.org_id},
        headers={"Origin": web.url},
    )
    assert answer.ok, await answer.text()
    await page.goto(f"{web.url}/runs/{failed}")
    await expect(page.locator(".graph-node.is-failed")).to_be_visible()
    await expect(page.get_by_role("log")).to_contain_text("gone")
    await expect(page.get_by_role("button", name="Compare with the last good run")).to_be_visible()
    for name in ("Retry from the failure", "Run again", "Cancel run"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)


async def test_home_teaches_beginners_and_shows_what_needs_somebody(page: Page, web: Web) -> None:
    empty = await stories.register(stories.new_email(), "Acme")
    await log_in(page, web, empty.email)
    steps = page.locator(".home-steps li")
    await expect(steps).to_have_count(4)
    await expect(page.locator(".home-steps .is-next")).to_contain_text("Connect")
    await expect(page.locator(".timeline")).to_have_count(0)
    await page.get_by_role("button", name="Log out").click()

    story = await stories.make_story()
    await stories.whole_run(story)
    failed = await failed_run(story)
    async with get_session(SYSTEM) as session:
        session.add(
            Schedule(
                org_id=story.actor.org_id,
                pipeline_id=story.pipeline_id,
                interval_seconds=3600,
                timezone="UTC",
                created_at=utcnow() - dt.timedelta(days=3),
            )
        )
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await log_in(page, web, story.actor.email)
    await expect(page.locator(".home-steps")).to_have_count(0)
    await expect(page.locator(".tile").filter(has_text="Failing")).to_contain_text("1")
    await expect(page.locator(".failing")).to_contain_text("Check that the file is there")
    await expect(page.locator(".lane-bar")).to_have_count(2)
    bar = page.get_by_role("link", name=f"#{failed} failed")
    await bar.focus()
    await expect(page.locator(".lane-facts")).to_contain_text("could not be read")
    await bar.press("ArrowLeft")
    await expect(page.locator(".lane-facts")).to_contain_text("succeeded")
    await page.get_by_text("Show as a table").first.click()
    await expect(page.get_by_role("region", name="Rows a day")).to_contain_text("398,598")
    await expect(page.locator(".quota")).to_contain_text("Runs at once")
    # A run that begins is there by itself.
    await stories.start_run(story)
    await expect(page.locator(".lane-bar")).to_have_count(3)
    await page.locator(".failing .row-link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"nyc_flights #{failed}")

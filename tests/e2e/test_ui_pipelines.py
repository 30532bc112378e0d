"""A person builds a pipeline in the browser, schedules it, changes it and goes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Locator, Page, expect
from pydantic import SecretStr
from sqlalchemy import select

from datanika.compiler import check_schedule, next_fires
from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.contracts.spec import PipelineSpec
from datanika.db import get_session
from datanika.models import Backfill, Pipeline, PipelineVersion
from datanika.security import hash_password
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService
from datanika.services.pipeline_service import PipelineService
from datanika.ui.calendar import next_month
from tests.support import story as stories
from tests.support.accounts import change
from tests.support.browser import browser, log_in, page
from tests.support.dependencies import needs_fresh
from tests.support.jobs import job_worker
from tests.support.pipelines import make_pipeline
from tests.support.postgres import PostgresServer, Warehouse, migrated_database
from tests.support.redis import RunningRedis
from tests.support.tenants import add_member
from tests.support.web import Web, serve

pytestmark = pytest.mark.e2e

__all__ = ["browser", "page"]


@pytest.fixture(scope="module")
async def web(
    frontend: Path,
    postgres_server: PostgresServer,
    migrated_template: str,
    redis_server: RunningRedis,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Web]:
    """As everywhere, with a queue for jobs."""
    home = tmp_path_factory.mktemp("web") / "home"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(settings, "redis_url", SecretStr(redis_server.url))
        async with migrated_database(postgres_server, migrated_template, monkeypatch, home):
            with serve(frontend, home, REDIS_URL=redis_server.url) as running:
                yield running


async def connect(actor: Actor, name: str, warehouse: Warehouse) -> int:
    async with get_session(actor.scope) as session:
        service = ConnectionService(session, actor)
        return (await service.create(name, "postgres", warehouse.config)).id


async def spec_of(actor: Actor, name: str) -> PipelineSpec:
    """The present specification of the pipeline called ``name``."""
    async with get_session(actor.scope) as session:
        version = await session.scalar(
            select(PipelineVersion)
            .join(Pipeline, Pipeline.current_version_id == PipelineVersion.id)
            .where(Pipeline.name == name, Pipeline.org_id == actor.org_id)
        )
    assert version is not None
    return PipelineSpec.model_validate(version.spec)


async def write(page: Page, text: str) -> None:
    """Replace all that is in the YAML editor."""
    await page.get_by_role("textbox", name="YAML").click()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text(text)


async def settled(page: Page, one: Locator) -> tuple[float, float]:
    """The middle of what the graph moves into view, once it rests."""
    before = None
    while (box := await one.bounding_box()) is None or box != before:
        before = box
        await page.wait_for_timeout(250)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


async def drag(page: Page, start: Locator, end: Locator) -> None:
    await start.scroll_into_view_if_needed()
    points = [await settled(page, start), await settled(page, end)]
    await page.mouse.move(*points[0])
    await page.mouse.down()
    await page.mouse.move(*points[1], steps=12)
    await page.mouse.up()


async def test_a_pipeline_is_built_changed_restored_and_scheduled(
    page: Page,
    web: Web,
    warehouses: tuple[Warehouse, Warehouse],
    redis_server: RunningRedis,
    tmp_path: Path,
) -> None:
    source, target = warehouses
    source.query(
        "CREATE TABLE orders (id int PRIMARY KEY, email text, changed timestamptz);"
        "CREATE TABLE customers (name text);"
        "INSERT INTO orders SELECT i, 'a@b.example', now() FROM generate_series(1, 1234) i;"
        "ANALYZE;"
    )
    ada = await stories.register(stories.new_email(), "Acme")
    source_id = await connect(ada, "shop", source)
    target_id = await connect(ada, "lake", target)
    await log_in(page, web, ada.email)
    await page.get_by_role("link", name="Pipelines", exact=True).click()
    await expect(page.get_by_role("heading", name="No pipelines yet")).to_be_visible()
    await page.get_by_role("link", name="New pipeline").click()

    with job_worker(redis_server.url, tmp_path / "celery.log"):
        await page.get_by_role("button", name="Load step").click()
        await page.get_by_label("Source", exact=True).select_option(str(source_id))
        await page.get_by_label("Destination", exact=True).select_option(str(target_id))
        await page.get_by_role("button", name="Choose tables").click()
        # The worker has to start.
        picker = page.get_by_role("dialog")
        row = picker.get_by_role("row").filter(has_text="orders")
        await expect(row).to_contain_text("≈ 1,234", timeout=60_000)
        await expect(row).to_contain_text("table")
        await picker.get_by_label("Search tables").fill("ord")
        await expect(picker.get_by_role("row").filter(has_text="customers")).to_have_count(0)
        await picker.get_by_role("button", name="Select all").click()
        await expect(picker).to_contain_text("Chosen: 1 / 2")
        await picker.get_by_role("button", name="Use these tables").click()
    # Its key was read from the source, and so were its columns.
    await page.get_by_role("button", name="orders merge").click()
    await expect(page.get_by_label("Primary key")).to_have_value("id")
    await page.get_by_text("Load only new rows").click()
    await page.get_by_label("Cursor column").fill("changed")
    await page.get_by_label("Cursor column").press("Enter")
    await page.get_by_label("Hide: email").select_option("hash")

    await page.get_by_role("button", name="Transform step").click()
    load = page.locator('.react-flow__node[data-id="load"]')
    transform = page.locator('.react-flow__node[data-id="transform"]')
    await expect(transform).to_contain_text("dbt build")
    await expect(page.locator(".react-flow__edge")).to_have_count(1)
    # A circle is refused while it is drawn.
    await drag(page, transform.locator(".source"), load.locator(".target"))
    await expect(page.locator(".builder-message")).to_contain_text("load → transform → load")
    await expect(page.locator(".react-flow__edge")).to_have_count(1)

    # The YAML says the same, and what is wrong with it.
    await page.get_by_role("tab", name="YAML").click()
    editor = page.locator(".cm-content")
    await expect(editor).to_contain_text("- email")
    text = (
        "steps:\n  - key: load\n    kind: load\n    source_id: {}\n    destination_id: {}\n"
        "    target_schema: raw\n    tables:\n      - name: orders\n        {}\n"
        "        primary_key: [id]\n        hash: [email]\n        cursor: {{column: changed}}\n"
        "  - key: build\n    kind: transform\n    destination_id: {}\n    depends_on: [load]\n"
    )
    wrong = text.format(source_id, target_id, "write_disposition: melt", target_id)
    await write(page, wrong)
    problem = page.locator(".builder-problems li")
    await expect(problem).to_contain_text("Line 9")
    await expect(problem).to_contain_text("steps.0.tables.0.write_disposition")
    await expect(page.locator("#save")).to_be_disabled()
    await expect(page.locator('.react-flow__node[data-id="build"]')).to_be_visible()
    await write(page, text.format(source_id, target_id, "write_disposition: merge", target_id))
    await expect(problem).to_have_count(0)
    await expect(page.get_by_role("table")).to_contain_text("orders <- orders, merge on id")
    await page.get_by_label("Name", exact=True).fill("orders")
    await page.get_by_role("button", name="Save version").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("orders")
    first = await spec_of(ada, "orders")
    assert [step.key for step in first.steps] == ["load", "build"]
    assert first.steps[0].kind == "load" and first.steps[0].tables[0].hash == ("email",)

    # A second version by the graph, and back.
    await page.locator('.react-flow__node[data-id="build"]').click()
    await page.get_by_label("Command", exact=True).select_option("run")
    await page.get_by_role("button", name="Save version").click()
    await expect(page.get_by_role("status").filter(has_text="Saved")).to_be_visible()
    await expect(page.locator(".title-line .chip")).to_have_text("v2")
    # Somebody else saves meanwhile: neither change is lost.
    async with get_session(ada.scope) as session:
        service = PipelineService(session, ada)
        [row] = (await service.list(name="orders")).rows
        await service.update(row.id, description="from elsewhere", spec=first)
    await page.get_by_label("Command", exact=True).select_option("test")
    await page.get_by_role("button", name="Save version").click()
    conflict = page.get_by_role("dialog")
    await expect(conflict).to_contain_text("Somebody else has saved meanwhile")
    await expect(conflict).to_contain_text("command: test")
    await conflict.get_by_role("button", name="Save mine over it").click()
    await expect(page.locator(".title-line .chip")).to_have_text("v4")
    await page.get_by_role("link", name="Versions").click()
    await expect(page.locator("#difference")).to_contain_text("command: test")
    await page.get_by_role("button", name="Restore: v1").click()
    await page.get_by_role("dialog").get_by_role("button", name="Restore", exact=True).click()
    await expect(page.get_by_role("row").filter(has_text="v5")).to_contain_text("current")
    await expect(page.get_by_role("row").filter(has_text="v5")).to_contain_text("Ada")
    assert await spec_of(ada, "orders") == first

    await page.get_by_role("link", name="Schedule").click()
    await page.get_by_role("button", name="New schedule").click()
    await page.get_by_label("Cron").fill("61 * * * *")
    await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("not a cron")
    await page.get_by_role("button", name="Monday to Friday at six").click()
    await page.get_by_label("Time zone").select_option("Europe/Athens")
    spec = check_schedule(cron="0 6 * * 1-5", timezone="Europe/Athens")
    expected = [f"{one:%a %Y-%m-%d %H:%M:%S %z}" for one in next_fires(spec, utcnow())]
    await expect(page.locator("#next-times li")).to_have_text(expected)
    await page.get_by_role("button", name="Next month").click()
    today = utcnow().astimezone(ZoneInfo("Europe/Athens")).date()
    following = next_month(today.replace(day=1), 1)
    await expect(page.locator("#month")).to_have_text(f"{following:%Y-%m}")
    assert 20 <= await page.locator(".calendar-day.fires-then:not(.is-other)").count() <= 23
    await page.locator("#save-schedule").click()
    await expect(page.locator(".schedule-list .fires li")).to_have_text(expected)
    await page.get_by_role("link", name="All pipelines").click()
    await expect(page.get_by_role("row").filter(has_text="orders").locator("time")).to_have_count(1)


async def test_what_a_pipeline_waits_for_what_it_loads_again_and_how_it_ends(
    page: Page, web: Web
) -> None:
    story = await stories.make_story()
    owner = story.actor
    report = (await make_pipeline(owner, "report")).id
    await needs_fresh(owner, report, story.pipeline_id)
    await log_in(page, web, owner.email)
    await page.goto(f"{web.url}/pipelines/{report}/dependencies")
    await expect(page.locator("#readiness")).to_contain_text("It would wait")
    await expect(page.locator("#readiness")).to_contain_text("nyc_flights")
    await page.goto(f"{web.url}/pipelines/{story.pipeline_id}/dependencies")
    await expect(page.get_by_text("Pipelines that need this one")).to_be_visible()
    await page.get_by_role("button", name="New dependency").click()
    form = page.get_by_role("dialog")
    await form.get_by_label("Pipeline").select_option(str(report))
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_role("alert")).to_contain_text("Each would wait for the other")
    await form.get_by_role("button", name="Cancel").click()

    await page.get_by_role("link", name="Backfills").click()
    await page.get_by_role("button", name="New backfill").click()
    await form.get_by_label("From").fill("2013-01-01T00:00")
    await form.get_by_label("Until").fill("2013-01-04T12:00")
    await form.get_by_role("button", name="Preview chunks").click()
    await expect(form.locator("#chunks li")).to_have_count(4)
    await expect(form).to_contain_text("airlines")
    await form.get_by_role("button", name="Start", exact=True).click()
    row = page.get_by_role("row").filter(has_text="0 / 4")
    await expect(row).to_contain_text("running")
    await row.get_by_role("button", name="Cancel").click()
    await form.get_by_role("button", name="Cancel", exact=True).last.click()
    await expect(page.get_by_role("row").filter(has_text="0 / 4")).to_contain_text("cancelled")
    async with get_session(owner.scope) as session:
        assert [one.state for one in await session.scalars(select(Backfill))] == ["cancelled"]

    # One step only, and then it is paused and deleted.
    await page.get_by_role("button", name="Run now").click()
    await form.get_by_label("load_nyc").check()
    await form.get_by_role("button", name="Start the run").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("nyc_flights #")
    await page.goto(f"{web.url}/pipelines")
    await page.get_by_role("button", name="Pause: nyc_flights").click()
    await expect(page.get_by_role("row").filter(has_text="nyc_flights")).to_contain_text("paused")
    await page.get_by_role("button", name="Delete: report").click()
    await form.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_role("row").filter(has_text="report")).to_have_count(0)


async def test_a_viewer_sees_a_pipeline_and_cannot_touch_it(page: Page, web: Web) -> None:
    story = await stories.make_story()
    viewer = await add_member(story.actor.org_id, Role.VIEWER)
    known = {"password_hash": hash_password(stories.PASSWORD), "email_verified_at": utcnow()}
    await change(viewer.user_id, **known)
    await log_in(page, web, viewer.email)
    await page.goto(f"{web.url}/pipelines")
    await page.get_by_role("link", name="nyc_flights").click()
    await expect(page.locator(".react-flow__node")).to_have_count(2)
    await page.locator('.react-flow__node[data-id="load_nyc"]').click()
    await expect(page.get_by_label("Key", exact=True)).to_be_disabled()
    for name in ("Load step", "Save version", "Run now", "Pause", "Delete", "Remove the step"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    await page.get_by_role("tab", name="YAML").click()
    await expect(page.locator(".cm-content")).to_have_attribute("contenteditable", "false")
    for tab, action in (
        ("Schedule", "New schedule"),
        ("Dependencies", "New dependency"),
        ("Versions", "Restore"),
        ("Backfills", "New backfill"),
    ):
        await page.get_by_role("link", name=tab).click()
        await expect(page.get_by_role("link", name=tab)).to_have_attribute("aria-current", "page")
        await expect(page.get_by_role("button", name=action)).to_have_count(0)

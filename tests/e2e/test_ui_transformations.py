"""A model is written, corrected, tested and traced to its source; a viewer may look on."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.contracts.spec import TransformationSpec
from datanika.db import SYSTEM, get_session
from datanika.models import Membership
from datanika.services.auth import AuthService
from datanika.services.transformation_service import TransformationService
from tests.support import shop_runs
from tests.support import story as stories
from tests.support.browser import browser, log_in, page
from tests.support.jobs import serve_with_jobs
from tests.support.postgres import Warehouse
from tests.support.redis import RunningRedis
from tests.support.shop_runs import MODEL, Shop
from tests.support.web import Web

pytestmark = pytest.mark.e2e

__all__ = ["browser", "page"]


@pytest.fixture
async def shop(database: str, warehouse: Warehouse) -> Shop:
    owner = await stories.register(stories.new_email(), "The Shop")
    shop = await shop_runs.make_shop(owner, warehouse)
    await stories.finish(shop.story, await shop_runs.loaded(shop, 3))
    return shop


@pytest.fixture
def studio(
    shop: Shop, frontend: Path, redis_server: RunningRedis, warehouse: Warehouse
) -> Iterator[Web]:
    """The web process with a worker for its jobs."""
    with serve_with_jobs(frontend, settings.home, redis_server, warehouse) as web:
        yield web


async def test_a_model_from_its_first_line_to_its_lineage(
    page: Page, browser: Browser, studio: Web, shop: Shop
) -> None:
    await log_in(page, studio, shop.story.actor.email)
    await page.get_by_role("link", name="Transformations").click()
    await page.get_by_role("button", name="New transformation").first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name", exact=True).fill(MODEL)
    await dialog.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(MODEL)

    # The editor knows the loaded table, and its columns once it is named.
    code = page.get_by_label("Code", exact=True)
    await code.click()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("select id, amount\nfrom ord")
    await page.locator(".cm-tooltip-autocomplete").get_by_text("raw.orders").click()
    await expect(code).to_contain_text("from {{ source('raw', 'orders') }}")
    await page.keyboard.type("\nwhere cust")
    await page.locator(".cm-tooltip-autocomplete").get_by_text("customer").wait_for()
    await page.keyboard.press("Enter")
    await expect(code).to_contain_text("where customer")

    # What may not run is told at its line, before anything is saved.
    await page.keyboard.type(" = '{{ env_var(1) }}'")
    problems = page.get_by_role("status", name="Problems in the code")
    await expect(problems).to_contain_text("Line 3")
    await expect(problems).to_contain_text("env_var() may not be called")
    await page.keyboard.press("Control+s")
    await expect(page.get_by_role("alert")).to_contain_text("This code may not run here.")
    await write(page, "select id, amount\nfrom {{ source('raw', 'orders' }}")
    await expect(problems).to_contain_text("Line 2")
    await write(page, "select id, amount\nfrom {{ source('raw', 'orders') }}")
    await expect(problems.get_by_role("listitem")).to_have_count(0)

    # Text that is not saved yet compiles and shows its rows.
    await page.get_by_role("button", name="Compile").click()
    compiled = page.get_by_label("Compiled SQL")
    await expect(compiled).to_contain_text('"raw"."orders"', timeout=60_000)
    await page.get_by_role("button", name="Preview").click()
    grid = page.get_by_role("region", name="Preview")
    await expect(grid.get_by_role("row")).to_have_count(4, timeout=60_000)
    await expect(grid).to_contain_text("NULL")

    # A column that is not there is told at its line, in the database's words.
    await write(page, "select amuont from {{ source('raw', 'orders') }}")
    await page.get_by_role("button", name="Preview").click()
    await expect(page.locator("#results").get_by_role("alert")).to_contain_text(
        "amuont", timeout=60_000
    )
    await expect(problems).to_contain_text("Line 1")
    await write(page, "select id, amount\nfrom {{ source('raw', 'orders') }}")

    # A described column with a test, saved by key as a new version.
    await page.get_by_role("button", name="Add column").click()
    row = page.locator(".column-row")
    await row.get_by_label("Name").fill("amount")
    await row.get_by_label("Description").fill("In euros.")
    await row.get_by_label("Tests").fill("not_null")
    await page.get_by_label("Tags", exact=True).fill("staging, money")
    await page.keyboard.press("Control+s")
    await expect(page.locator(".toast")).to_have_text("Saved as a new version.")
    await expect(page.locator(".page-head")).to_contain_text("Version 2")
    saved = (await specs(shop))[MODEL]
    assert saved.sql == "select id, amount\nfrom {{ source('raw', 'orders') }}"
    assert (saved.tags, saved.columns[0].tests) == (("staging", "money"), ("not_null",))
    await expect(page.locator("#neighbourhood")).to_contain_text("raw.orders")

    # The run finds the row without an amount; the catalog says so, and leads to the code.
    await shop_runs.built(shop, await shop_runs.loaded(shop, 3), failure="Got 1 result")
    await page.get_by_role("link", name="Catalog").click()
    await page.get_by_role("searchbox").fill("euros")
    await page.get_by_role("button", name="Search", exact=True).click()
    await page.get_by_role("link", name=f"analytics.{MODEL}").click()
    await expect(page.locator("#tests")).to_contain_text("Got 1 result")
    await page.get_by_role("link", name="Open the code").click()
    await code.click()
    await page.keyboard.press("Control+End")
    await page.keyboard.type("\nwhere amount is not null")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".page-head")).to_contain_text("Version 3")
    await shop_runs.built(shop, await shop_runs.loaded(shop, 3), failure=None)
    await page.get_by_role("link", name="In the catalog").click()
    await expect(page.locator("#tests .badge")).to_have_text("succeeded")
    await expect(page.locator("#columns")).to_contain_text("In euros.")

    # A column's way back to the file that it came from, and on from there.
    await page.locator("#columns").get_by_role("button", name="amount").click()
    await expect(page.locator("#impact")).to_contain_text("depends on this column")
    lineage = page.locator("#lineage")
    await expect(lineage.locator(".lineage-legend")).to_have_text("copy")
    await expect(lineage.get_by_role("status")).to_contain_text("3 tables")
    await lineage.get_by_role("button", name="As a list").click()
    await expect(lineage.get_by_role("row").filter(has_text="orders.csv")).to_be_visible()
    await lineage.get_by_role("button", name="raw.orders").first.click()
    await lineage.get_by_role("link", name="Open the table").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("raw.orders")
    await page.locator("#columns").get_by_role("button", name="amount").click()
    await expect(page.locator("#impact")).to_contain_text(MODEL)

    await _a_viewer_sees_and_cannot_touch(browser, studio, shop)


async def _a_viewer_sees_and_cannot_touch(browser: Browser, studio: Web, shop: Shop) -> None:
    viewer = await stories.register(stories.new_email(), "Elsewhere")
    async with get_session(SYSTEM) as session:
        session.add(
            Membership(org_id=shop.story.actor.org_id, user_id=viewer.user_id, role=Role.VIEWER)
        )
        opened = await AuthService(session).create_session(
            viewer.email, stories.PASSWORD, shop.story.actor.org_id
        )
    before = await specs(shop)
    context = await browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    cookie = {"name": "datanika_session", "value": opened.token, "url": studio.url}
    await context.add_cookies([cookie])
    page = await context.new_page()
    await page.goto(studio.url)
    await page.get_by_role("link", name="Transformations").click()
    await expect(page.get_by_role("row").filter(has_text=MODEL)).to_be_visible()
    await expect(page.get_by_role("button", name="New transformation")).to_have_count(0)
    await page.get_by_role("link", name=MODEL).click()
    code = page.get_by_label("Code", exact=True)
    await expect(code).to_contain_text("where amount is not null")
    await expect(code).to_have_attribute("contenteditable", "false")
    await expect(page.get_by_label("Tags", exact=True)).to_be_disabled()
    for name in ("Save", "Delete", "Preview", "Compile", "Format", "Run"):
        await expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    await page.keyboard.press("Control+s")
    await page.get_by_role("link", name="In the catalog").click()
    await expect(page.locator("#columns")).to_contain_text("In euros.")
    await expect(page.locator("#sample")).to_have_count(0)
    await context.close()
    assert await specs(shop) == before


async def write(page: Page, text: str) -> None:
    """Put ``text`` into the editor at once: typed, each bracket would bring its other half."""
    await page.get_by_label("Code", exact=True).click()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text(text)


async def specs(shop: Shop) -> dict[str, TransformationSpec]:
    actor = shop.story.actor
    async with get_session(actor.scope) as session:
        return {one.name: one for one in await TransformationService(session, actor).specs()}


async def test_a_project_comes_in_is_changed_by_two_and_goes_out(
    page: Page, studio: Web, shop: Shop, tmp_path: Path
) -> None:
    archive = tmp_path / "project.zip"
    files = {
        "dbt_project.yml": "name: shop\nversion: '1'\nprofile: shop\nmodel-paths: [models]\n",
        "models/customers.sql": "select customer from {{ source('raw', 'orders') }}\n",
        "models/top.sql": "select * from {{ ref('customers') }}\n",
        "models/leaks.sql": "select '{{ env_var('HOME') }}' as home\n",
        "models/sources.yml": (
            "version: 2\nsources: [{name: raw, schema: raw, tables: [{name: orders}]}]\n"
        ),
    }
    with zipfile.ZipFile(archive, "w") as content:
        for name, text in files.items():
            content.writestr(f"shop/{name}", text)
    await log_in(page, studio, shop.story.actor.email)
    await page.goto(f"{studio.url}/transformations")
    await page.get_by_role("button", name="Import a dbt project").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Zip file").set_input_files(archive)
    await dialog.get_by_role("button", name="Look at it").click()
    await expect(dialog.locator(".finding.is-refused")).to_contain_text("leaks.sql")
    await expect(dialog.locator(".finding.is-refused")).to_contain_text("env_var()")
    assert await specs(shop) == {}
    await dialog.get_by_role("button", name="Import without what is refused").click()
    await expect(dialog.get_by_role("status")).to_contain_text("The project was imported.")
    await dialog.get_by_role("button", name="Close").click()
    await expect(page.get_by_role("link", name="customers")).to_be_visible()
    assert {"customers", "top"} <= (await specs(shop)).keys()

    # Somebody saves while it is open here: nothing of either is lost.
    await page.get_by_role("link", name="customers").click()
    code = page.get_by_label("Code", exact=True)
    await expect(code).to_contain_text("select customer from")
    actor = shop.story.actor
    async with get_session(actor.scope) as session:
        service = TransformationService(session, actor)
        (row,) = (await service.list(name="customers")).rows
        theirs = "select distinct customer from {{ source('raw', 'orders') }}"
        await service.update(row.id, (await specs(shop))["customers"].model_copy(
            update={"sql": theirs}
        ))  # fmt: skip
    await code.click()
    await page.keyboard.press("Control+End")
    await page.keyboard.type("-- mine")
    await page.keyboard.press("Control+s")
    conflict = page.locator(".conflict")
    await expect(conflict).to_contain_text("Somebody else saved meanwhile")
    await expect(conflict).to_contain_text("select distinct customer")
    assert (await specs(shop))["customers"].sql == theirs
    await conflict.get_by_role("button", name="Keep mine").click()
    await expect(conflict).to_have_count(0)
    await page.keyboard.press("Control+s")
    await expect(page.locator(".toast")).to_have_text("Saved as a new version.")
    assert (await specs(shop))["customers"].sql.endswith("-- mine")

    # What is read by others is not deleted; a refusal names them.
    await page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("These still read it and have to change first: top")
    await dialog.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("alert")).to_contain_text("customers is read by top.")
    await page.get_by_role("link", name="top").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("top")
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Transformations")
    await expect(page.get_by_role("link", name="customers")).to_be_visible()
    await expect(page.get_by_role("link", name="top")).to_have_count(0)
    await page.locator("summary", has_text="Export").click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="warehouse").click()
    with zipfile.ZipFile(await (await download.value).path()) as content:
        assert "models/customers.sql" in content.namelist()

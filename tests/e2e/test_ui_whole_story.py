"""The whole story of a new user on a running platform, in a browser: from the sign-up to the audit
log, in three languages, light and dark, on a desktop and on a phone. Nothing is simulated."""

from __future__ import annotations

import asyncio
import re
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Locator, expect

from datanika.compiler import check_schedule, next_fires
from datanika.contracts.events import utcnow
from tests.support.accounts import PASSWORD, link_of, read_mail
from tests.support.browser import browser
from tests.support.person import DESKTOP, PHONE, Look, Person, at_a_browser
from tests.support.platform import RunningPlatform
from tests.support.platform_parts import make_warehouse
from tests.support.postgres import Warehouse

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

__all__ = ["browser"]

LOOKS = [
    Look("en", "light", DESKTOP),
    Look("de", "dark", DESKTOP),
    Look("ar", "light", PHONE),
]
RUN_MS = 180_000
"""A run starts processes, and other tests share the machine."""
JOB_MS = 90_000
MAIL_SECONDS = 60

ORDERS, CUSTOMERS = 123_456, 3
MODEL = "stg_orders"
WITH_GAPS = "select id, customer, amount\nfrom {{ source('raw', 'orders') }}"
WITHOUT_GAPS = f"{WITH_GAPS}\nwhere amount is not null"
ZONE, WEEKDAYS = "Europe/Athens", "0 6 * * 1-5"


@pytest.fixture
def shop(platform: RunningPlatform) -> tuple[Warehouse, Warehouse]:
    """A database with orders, one of them without an amount, and an empty one."""
    name = f"canary_{uuid4().hex[:8]}"
    source = make_warehouse(platform, f"{name}_shop", uuid4().hex)
    source.query(
        "CREATE TABLE customers (name text PRIMARY KEY);"
        "CREATE TABLE orders (id int PRIMARY KEY, customer text, amount numeric(10, 2));"
        "INSERT INTO customers VALUES ('Ada'), ('Bob'), ('Cy');"
        "INSERT INTO orders SELECT n, 'Ada', CASE WHEN n > 1 THEN n * 1.5 END "
        f"FROM generate_series(1, {ORDERS}) n;"
        "ANALYZE;"
    )
    return source, make_warehouse(platform, f"{name}_lake", uuid4().hex)


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_the_whole_story_of_a_new_user(
    look: Look, browser: Browser, platform: RunningPlatform, shop: tuple[Warehouse, Warehouse]
) -> None:
    source, lake = shop
    name = uuid4().hex[:8]
    email, guest = f"ada-{name}@example.com", f"grace-{name}@example.com"
    organization = f"Engines {name}"
    async with at_a_browser(browser, platform.url, look) as ada:
        await sign_up(ada, platform, email, organization)
        pipeline = await build(
            ada, await connect(ada, "shop", source), await connect(ada, "lake", lake)
        )
        await schedule(ada)
        await watch(ada, await run(ada, pipeline))
        assert lake.query("SELECT count(*) FROM raw.orders") == [(ORDERS,)]

        model = await write_model(ada)
        await see_the_failing_test(ada, await run(ada, pipeline))
        await correct(ada, model)
        await expect_state(ada, await run(ada, pipeline), "succeeded")
        built = lake.query(f"SELECT count(*), count(amount) FROM analytics.{MODEL}")
        assert built == [(ORDERS - 1, ORDERS - 1)]
        await see_lineage(ada)

        link = await invite(ada, platform, guest)
        async with at_a_browser(browser, platform.url, look) as grace:
            await join(grace, link, guest, organization)
            await see_and_touch_nothing(grace, pipeline, model)
        await audit(ada, guest)


async def sign_up(person: Person, platform: RunningPlatform, email: str, name: str) -> None:
    page = person.page
    await person.open("/sign-up")
    await person.show("01-sign-up")
    await person.fill(name="Ada", email=email, organization_name=name, password=PASSWORD)
    await person.press("sign_up.submit")
    await expect(page).to_have_url(re.compile(r"/login/?\?notice="))
    await expect(page.get_by_role("status")).not_to_be_empty()
    await page.goto(await mailed_link(platform, email))
    await person.press("mailed.verify.submit")
    await expect(page).to_have_url(re.compile(r"/login/?\?notice="))
    await person.log_in(email, PASSWORD)
    await expect(page.locator("#organization")).to_have_text(name)
    await expect(page.locator(".home-steps li")).to_have_count(4)
    await person.show("02-home")


async def mailed_link(platform: RunningPlatform, email: str) -> str:
    """The link in the one mail to ``email``, which is sent after the page has answered."""
    async with asyncio.timeout(MAIL_SECONDS):
        while True:
            every = [read_mail(path) for path in (platform.home / "mail").glob("*.eml")]
            if found := [mail for mail in every if mail["To"] == email]:
                [mail] = found
                return link_of(mail)
            await asyncio.sleep(0.2)


async def connect(person: Person, name: str, warehouse: Warehouse) -> str:
    """A connection, tried and kept; its id."""
    page = person.page
    await person.go("nav.connections")
    await page.locator("#content").get_by_role("link", name=person["connections.new"]).click()
    await page.get_by_label(person["connection.search_kinds"]).fill("postgresql")
    await page.locator(".kind-card").first.click()
    form = page.locator("form.connection-form")
    await form.locator("#connection-name").fill(name)
    await person.fill(
        form,
        host=warehouse.host,
        port=str(warehouse.port),
        database=warehouse.database,
        user=warehouse.user,
        password=warehouse.password,
    )
    await form.locator("[name=sslmode]").select_option("disable")
    await person.press("connection.test", form)
    await expect(form.get_by_text(person["connection.test_ok"], exact=True)).to_be_visible(
        timeout=JOB_MS
    )
    await person.show(f"03-connection-{name}")
    await person.press("connection.save", form)
    await expect(page.get_by_role("heading", level=1)).to_have_text(name)
    found = re.search(r"/connections/(\d+)", page.url)
    assert found
    return found[1]


async def build(person: Person, source: str, lake: str) -> str:
    """A pipeline that loads the source and builds what reads it; its address."""
    page = person.page
    await person.go("nav.pipelines")
    await page.locator("#content").get_by_role("link", name=person["pipelines.new"]).first.click()
    palette = page.get_by_role("toolbar", name=person["builder.palette"])
    await person.press("builder.add_load", palette)
    panel = page.locator("#builder-tabpanel")
    await panel.get_by_label(person["builder.source"], exact=True).select_option(source)
    await panel.get_by_label(person["builder.destination"], exact=True).select_option(lake)
    await panel.get_by_label(person["builder.target_schema"], exact=True).fill("raw")
    await person.press("builder.choose_tables", panel)
    picker = person.dialog
    row = picker.get_by_role("row").filter(has_text="orders")
    await expect(row).to_contain_text(f"≈ {await person.number(ORDERS)}", timeout=JOB_MS)
    await person.press("builder.select_all", picker)
    await person.show("04-table-picker")
    await person.press("builder.use_tables", picker)
    await expect(panel.locator(".builder-table")).to_have_count(2)
    await person.press("builder.add_transform", palette)
    await panel.get_by_label(person["builder.project"], exact=True).select_option(lake)
    await expect(page.locator(".react-flow__node")).to_have_count(2)
    await expect(page.locator(".react-flow__edge")).to_have_count(1)
    await page.locator("#name").fill("shop")
    await expect(page.locator(".builder-problems")).to_have_count(0)
    await person.show("05-builder")
    await page.locator("#save").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("shop")
    return page.url.removeprefix(person.url)


async def schedule(person: Person) -> None:
    """The page says the next five times before and after it is kept."""
    page = person.page
    await page.locator("#content").get_by_role("link", name=person["pipeline.schedule"]).click()
    await person.press("schedule.new")
    await person.press("schedule.every_weekday", person.dialog)
    await person.dialog.locator("#timezone").select_option(ZONE)
    fires = next_fires(check_schedule(cron=WEEKDAYS, timezone=ZONE), utcnow())
    expected = [f"{one:%a %Y-%m-%d %H:%M:%S %z}" for one in fires]
    assert len(expected) == 5
    await expect(page.locator("#next-times li")).to_have_text(expected)
    await person.show("06-schedule")
    await page.locator("#save-schedule").click()
    await expect(page.locator(".schedule-list .fires li")).to_have_text(expected)


async def run(person: Person, pipeline: str) -> str:
    """Run the pipeline now; the address of the run, whose page is open."""
    page = person.page
    await person.open(pipeline)
    await person.press("pipelines.run")
    await person.press("overrides.start", person.dialog)
    await expect(page).to_have_url(re.compile(r"/runs/\d+"))
    return page.url.removeprefix(person.url)


def state_of(person: Person) -> Locator:
    return person.page.locator("h1 + span .badge")


async def expect_state(person: Person, address: str, state: str) -> None:
    await expect(person.page).to_have_url(re.compile(f"{address}$"))
    await expect(state_of(person)).to_have_text(state, timeout=RUN_MS)


async def watch(person: Person, address: str) -> None:
    """The page of the run, which is never loaded anew: from its beginning to its end."""
    page = person.page
    await expect(page.locator(".live")).to_be_visible()
    await expect(page.locator(".graph-node").first).to_be_visible()
    await expect(page.locator(".steps .badge.is-running").first).to_be_visible(timeout=RUN_MS)
    await expect(page.get_by_role("log").locator(".log-line").first).to_be_attached(timeout=RUN_MS)
    await person.show("07-run-live")
    await expect_state(person, address, "succeeded")
    await expect(page.locator(".live")).to_have_count(0)
    await expect(page.locator(".graph-node.is-succeeded")).not_to_have_count(0)
    counted = page.get_by_role("region", name=person["run.verdicts"])
    for table, rows in {"orders": ORDERS, "customers": CUSTOMERS}.items():
        row = counted.get_by_role("row").filter(has_text=table)
        await expect(row.locator("td.number").nth(0)).to_have_text(await person.number(rows))
        await expect(row.locator("td.number").nth(3)).to_have_text(await person.number(rows))
        await expect(row).to_contain_text("exact")
        await expect(row).to_contain_text(person["run.yes"])
    lines = page.get_by_role("log").locator(".log-line")
    said = await lines.first.locator(".log-message").inner_text()
    search = page.get_by_role("searchbox", name=person["run.search"])
    await search.fill(said)
    await expect(lines.first).to_contain_text(said)
    await search.fill(uuid4().hex)
    await expect(lines).to_have_count(0)
    await search.fill("")
    await person.show("08-run-succeeded")


async def write_model(person: Person) -> str:
    """A model with a test that its data does not pass; its address."""
    page = person.page
    await person.go("nav.transformations")
    await (
        page.locator("#content")
        .get_by_role("button", name=person["transformations.new"])
        .first.click()
    )
    await person.fill(person.dialog, name=MODEL)
    await person.press("transformations.create", person.dialog)
    await expect(page.get_by_role("heading", level=1)).to_have_text(MODEL)
    await write(person, WITH_GAPS)
    await person.press("transformation.preview")
    grid = page.get_by_role("region", name=person["transformation.preview"])
    await expect(grid.get_by_role("row").nth(1)).to_be_visible(timeout=JOB_MS)
    await person.press("transformation.add_column")
    await page.locator("[name^=column_name_]").fill("amount")
    await page.locator("[name^=column_tests_]").fill("not_null")
    await person.show("09-model")
    await save(person, 2)
    return page.url.removeprefix(person.url)


async def write(person: Person, text: str) -> None:
    """Put ``text`` into the editor at once: typed, each bracket would bring its other half."""
    await person.page.get_by_label(person["transformation.code"], exact=True).click()
    await person.page.keyboard.press("Control+a")
    await person.page.keyboard.insert_text(text)


async def save(person: Person, version: int) -> None:
    page = person.page
    await page.locator(".page-head button[type=submit]").click()
    words = f"{person['transformation.revision']} {version}"
    await expect(page.locator(".page-head")).to_contain_text(words)


async def see_the_failing_test(person: Person, address: str) -> None:
    page = person.page
    await expect_state(person, address, "failed")
    cause = page.get_by_role("alert").filter(has_text=person["run.failure"])
    await expect(cause).to_contain_text(f"not_null_{MODEL}_amount")
    line = page.locator(".steps .depth-1").filter(has_text=f"not_null_{MODEL}_amount")
    await expect(line.locator(".badge")).to_have_text("failed")
    await expect(line.locator(".error")).to_contain_text("1")
    await cause.scroll_into_view_if_needed()
    await person.show("10-run-failed")


async def correct(person: Person, model: str) -> None:
    page = person.page
    await person.open(model)
    code = page.get_by_label(person["transformation.code"], exact=True)
    await expect(code).to_contain_text("select id, customer, amount")
    await write(person, WITHOUT_GAPS)
    await save(person, 3)


async def see_lineage(person: Person) -> None:
    """From the model's column back to the source's, on its page and on the map of everything."""
    page = person.page
    await person.go("nav.catalog")
    await page.get_by_role("link", name=f"analytics.{MODEL}").click()
    await expect(page.locator("#tests .badge")).to_have_text("succeeded")
    await page.locator("#columns").get_by_role("button", name="amount", exact=True).click()
    lineage = page.locator("#lineage")
    await expect(lineage.locator(".lineage-legend")).to_contain_text("copy")
    await lineage.scroll_into_view_if_needed()
    await person.show("11-lineage-of-a-column")
    await person.press("lineage.as_list", lineage)
    for name in ("public.orders", "raw.orders", f"analytics.{MODEL}"):
        await expect(lineage.locator("tbody tr").filter(has_text=name)).to_have_count(1)

    await person.go("nav.lineage")
    await page.get_by_role("combobox", name=person["lineage.search"]).fill(f"analytics.{MODEL}")
    await page.keyboard.press("Enter")
    side = page.get_by_role("complementary", name=f"analytics.{MODEL}")
    await side.get_by_role("button", name="amount", exact=True).click()
    await expect(side.locator(".lineage-legend")).to_contain_text("copy")
    await person.show("12-lineage")
    await person.press("lineage.as_list")
    rows = page.locator(".lineage-list tbody tr")
    await expect(rows.filter(has_text="public.orders")).to_have_count(1)


async def invite(person: Person, platform: RunningPlatform, email: str) -> str:
    """Invite a viewer; the link that was mailed to them."""
    page = person.page
    await person.go("nav.settings")
    await page.locator("#content").get_by_role("link", name=person["settings.members"]).click()
    await person.press("members.invite")
    await person.fill(person.dialog, email=email)
    await person.dialog.locator("[name=role]").select_option("viewer")
    await person.press("members.send", person.dialog)
    await expect(person.dialog.locator(".once-value")).to_contain_text("/invitation?token=")
    await person.show("13-invited")
    await person.press("settings.done", person.dialog)
    return await mailed_link(platform, email)


async def join(viewer: Person, link: str, email: str, organization: str) -> None:
    await viewer.open(link.removeprefix(viewer.url))
    await expect(viewer.page.locator("main dl")).to_contain_text(organization)
    await viewer.show("14-invitation")
    await viewer.fill(name="Grace", password=PASSWORD)
    await viewer.press("invitation.join")
    await expect(viewer.page).to_have_url(re.compile(r"/login/?\?notice=joined"))
    await viewer.log_in(email, PASSWORD)
    await expect(viewer.page.locator("#organization")).to_have_text(organization)


async def see_and_touch_nothing(viewer: Person, pipeline: str, model: str) -> None:
    """A viewer reads what there is, and finds no button that would change it."""
    page = viewer.page

    async def none_of(*keys: str) -> None:
        for key in keys:
            for role in ("button", "link"):
                found = page.locator("#content").get_by_role(role, name=viewer[key], exact=True)
                await expect(found).to_have_count(0)

    await viewer.go("nav.pipelines")
    await none_of("pipelines.new", "pipelines.run")
    await page.get_by_role("link", name="shop", exact=True).click()
    await expect(page.locator(".react-flow__node")).to_have_count(2)
    await none_of(
        "pipelines.run", "pipelines.pause", "pipelines.delete", "builder.add_load", "builder.save"
    )
    await viewer.show("15-viewer-pipeline")
    await viewer.open("/pipelines/new")
    await expect(page.get_by_text(viewer["error.permission_denied"])).to_be_visible()
    await expect(page.locator("#content form")).to_have_count(0)
    await viewer.open(f"{pipeline}/schedule")
    await expect(page.locator(".schedule-list .fires li")).to_have_count(5)
    await none_of("schedule.new", "schedule.edit", "schedule.turn_off", "schedule.delete")
    await viewer.open(model)
    code = page.get_by_label(viewer["transformation.code"], exact=True)
    await expect(code).to_contain_text("where amount is not null")
    await expect(code).to_have_attribute("contenteditable", "false")
    await none_of("transformation.delete", "transformation.preview", "transformation.add_column")
    await expect(page.locator("#content button[type=submit]")).to_have_count(0)
    await viewer.open("/connections/new")
    await expect(page.get_by_text(viewer["error.permission_denied"])).to_be_visible()
    await expect(page.locator(".kind-card")).to_have_count(0)
    await viewer.go("nav.runs")
    await page.locator("tbody a").filter(has_text=re.compile(r"#\d")).first.click()
    await expect(state_of(viewer)).to_have_text("succeeded")
    await none_of("run.again", "run.retry", "run.cancel")
    await viewer.open("/settings/members")
    await expect(page.get_by_role("region", name=viewer["settings.members"])).to_be_visible()
    await none_of("members.invite", "members.remove", "members.transfer")
    await viewer.open("/settings/audit")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text(viewer["error.permission_denied"])
    await none_of("audit.verify", "settings.search")
    await expect(page.locator("#content").get_by_role("table")).to_have_count(0)
    await viewer.show("16-viewer-audit")


async def audit(person: Person, guest: str) -> None:
    """Everything that was done is in the log, and the log is whole."""
    page = person.page
    await person.open("/settings/audit")
    for action in (
        "connection.created",
        "pipeline.created",
        "schedule.created",
        "run.triggered",
        "transformation.created",
        "transformation.updated",
        "invitation.created",
        "invitation.accepted",
    ):
        await person.fill(page.locator("form.filters"), action=action)
        await person.press("settings.search", page.locator("form.filters"))
        rows = page.locator("#content tbody tr")
        await expect(rows.first).to_contain_text(action)
        await expect(rows.filter(has_not_text=action)).to_have_count(0)
    await expect(page.locator("#content tbody")).to_contain_text(guest)
    await person.press("audit.verify")
    await expect(page.locator(".verdict.good")).to_contain_text(person["audit.whole"])
    await person.show("17-audit")

"""Who governs an organisation: members, keys, channels, the audit log, the account; who may not,
sees and touches nothing; operators see figures."""

from __future__ import annotations

import httpx
import pyotp
import pytest
from playwright.async_api import Page, expect

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.services.operators import set_operator
from tests.support import story as stories
from tests.support.accounts import mails, make_member
from tests.support.browser import browser, log_in, page
from tests.support.story import PASSWORD
from tests.support.tenants import add_member
from tests.support.web import Web

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

__all__ = ["browser", "page"]


async def toast(page: Page, text: str) -> None:
    await expect(page.locator(".toast")).to_have_text(text)


async def status(url: str, key: str) -> int:
    """What the API answers a program with the key."""
    async with httpx.AsyncClient(timeout=20) as client:
        headers = {"authorization": f"Bearer {key}"}
        return (await client.get(url, headers=headers)).status_code


async def sure(page: Page, name: str) -> None:
    """Answer the question that is open."""
    await page.locator("dialog[open]").get_by_role("button", name=name, exact=True).click()


async def test_an_owner_manages_members_and_invitations(page: Page, web: Web) -> None:
    story = await stories.make_story()
    viewer = await add_member(story.actor.org_id, Role.VIEWER)
    guest = stories.new_email()
    await log_in(page, web, story.actor.email)
    await page.get_by_role("link", name="Settings", exact=True).click()
    await page.get_by_role("link", name="Members", exact=True).click()
    row = page.get_by_role("row").filter(has_text=viewer.email)
    await row.get_by_role("combobox").select_option("editor")
    await toast(page, "The role was changed.")
    await page.get_by_role("button", name="Invite", exact=True).click()
    form = page.locator("dialog[open]")
    await form.get_by_label("Email").fill(guest)
    await form.get_by_label("Role").select_option("viewer")
    await form.get_by_role("button", name="Send the invitation").click()
    await expect(form.locator(".once-value")).to_contain_text("/invitation?token=")
    await form.get_by_role("button", name="Done").click()
    waiting = page.get_by_role("row").filter(has_text=guest)
    await expect(waiting).to_be_visible()
    assert [mail for mail in mails() if mail["To"] == guest]
    await waiting.get_by_role("button", name="Withdraw").click()
    await sure(page, "Withdraw")
    await expect(waiting).to_have_count(0)
    await row.get_by_role("button", name="Remove").click()
    await sure(page, "Remove")
    await expect(row).to_have_count(0)


async def test_a_key_is_shown_once_works_and_is_revoked(page: Page, web: Web) -> None:
    story = await stories.make_story()
    await log_in(page, web, story.actor.email)
    await page.goto(f"{web.url}/settings/api-keys")
    await expect(page.get_by_role("heading", name="No keys yet")).to_be_visible()
    await page.get_by_role("button", name="Create a key").click()
    form = page.locator("dialog[open]")
    await form.get_by_label("Name").fill("nightly")
    await form.get_by_role("button", name="Create a key").click()
    key = await form.locator(".once-value").inner_text()
    await form.get_by_role("button", name="Done").click()
    row = page.get_by_role("row").filter(has_text="nightly")
    await expect(row).to_contain_text("pipeline:read")
    assert "pipeline:write" not in await row.inner_text()
    await expect(form).to_have_count(0)
    assert key not in await page.content()
    assert await status(f"{web.url}/api/v1/pipelines", key) == 200
    await row.get_by_role("button", name="Revoke").click()
    await sure(page, "Revoke")
    await expect(page.get_by_role("heading", name="No keys yet")).to_be_visible()
    assert await status(f"{web.url}/api/v1/pipelines", key) == 401
    # The log tells of both, and is whole.
    await page.get_by_role("link", name="Audit log", exact=True).click()
    await page.get_by_label("Action", exact=True).fill("api_key.created")
    await page.get_by_role("button", name="Search", exact=True).click()
    entry = page.get_by_role("row").filter(has_text="api_key.created")
    await expect(entry).to_have_count(1)
    await entry.get_by_role("button", name="Details").click()
    await expect(page.locator("dialog[open] ins").filter(has_text="nightly")).to_be_visible()
    assert key not in await page.content()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Verify now").click()
    await expect(page.get_by_text("The chain is whole.")).to_be_visible()
    address = await page.get_by_role("link", name="Export: CSV").get_attribute("href")
    # The browser's cookie opens it.
    text = await (await page.request.get(f"{web.url}{address}")).text()
    assert "api_key.created" in text and "api_key.revoked" not in text


async def test_channels_are_made_tried_and_taken_away(page: Page, web: Web) -> None:
    story = await stories.make_story()
    inbox = stories.new_email()
    await log_in(page, web, story.actor.email)
    await page.goto(f"{web.url}/settings/notifications")
    await page.get_by_role("button", name="New channel").click()
    form = page.locator("dialog[open]")
    await form.get_by_label("Name").fill("on call")
    await form.get_by_label("Addresses").fill(inbox)
    await form.get_by_label("run.succeeded").check()
    await form.get_by_label("nyc_flights").check()
    await form.get_by_role("button", name="Save").click()
    channel = page.get_by_role("listitem").filter(has_text="on call")
    for text in (inbox, "run.failed", "run.succeeded", "Only: nyc_flights"):
        await expect(channel).to_contain_text(text)
    await channel.get_by_role("button", name="Test").click()
    await toast(page, "The test message arrived.")
    assert [mail for mail in mails() if mail["To"] == inbox]
    sent = page.get_by_role("row").filter(has_text="channel.test")
    await expect(sent).to_contain_text("delivered")
    await sent.get_by_role("button", name="Deliver again").click()
    await toast(page, "It was sent again.")
    await channel.get_by_role("button", name="Switch off").click()
    await expect(channel.get_by_role("button", name="Switch on")).to_be_visible()
    # A webhook's secret is shown when it is made, and when it is replaced.
    await page.get_by_role("button", name="New channel").click()
    await form.get_by_label("Kind").select_option("webhook")
    await form.get_by_label("Name").fill("hook")
    await form.get_by_label("URL").fill("https://hooks.example.com/x")
    await form.get_by_role("button", name="Save").click()
    first = await form.locator(".once-value").inner_text()
    await form.get_by_role("button", name="Done").click()
    hook = page.get_by_role("listitem").filter(has_text="hooks.example.com")
    await hook.get_by_role("button", name="New secret").click()
    await sure(page, "New secret")
    await expect(page.locator("dialog[open] .once-value")).not_to_have_text(first)
    await page.locator("dialog[open]").get_by_role("button", name="Done").click()
    await hook.get_by_role("button", name="Delete").click()
    await sure(page, "Delete")
    await expect(hook).to_have_count(0)


async def test_a_second_factor_is_set_up_with_a_picture(page: Page, web: Web) -> None:
    story = await stories.make_story()
    await log_in(page, web, story.actor.email)
    await page.locator(".who").click()
    card = page.locator("section").filter(has=page.get_by_role("heading", name="Second factor"))
    await card.get_by_label("Password").fill("not this one")
    await card.get_by_role("button", name="Set it up").click()
    await expect(page.get_by_role("alert")).to_contain_text("The password is wrong.")
    await card.get_by_label("Password").fill(PASSWORD)
    await card.get_by_role("button", name="Set it up").click()
    await expect(card.get_by_role("img")).to_be_visible()
    secret = await card.locator(".once-value").inner_text()
    await card.get_by_label("Code of your authenticator app").fill(pyotp.TOTP(secret).now())
    await card.get_by_role("button", name="Switch it on").click()
    codes = page.locator("#recovery-codes li")
    await expect(codes).to_have_count(10)
    code = await codes.first.inner_text()
    await page.locator("dialog[open]").get_by_role("button", name="Done").click()
    await expect(page.locator("dialog[open]")).to_have_count(0)
    assert secret not in await page.content()
    await card.get_by_label("Password").fill(PASSWORD)
    await card.get_by_label("Code of your authenticator app").fill(code)
    await card.get_by_role("button", name="Switch it off").click()
    await expect(card.get_by_role("button", name="Set it up")).to_be_visible()
    # Another name, and an end to the login that this page came with.
    await page.get_by_label("Your name").fill("Ada King")
    await page.get_by_role("button", name="Save").click()
    await toast(page, "Your account was saved.")
    await page.get_by_role("row").filter(has_text="this one").get_by_role("button").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()


async def test_a_viewer_sees_and_touches_nothing(page: Page, web: Web) -> None:
    story = await stories.make_story()
    viewer = await make_member(story.actor.org_id, Role.VIEWER)
    await log_in(page, web, viewer.email)
    await page.goto(f"{web.url}/settings/members")
    await expect(page.get_by_role("cell", name=story.actor.email)).to_be_visible()
    for name in ("Invite", "Remove", "Make owner"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    tabs = page.get_by_role("navigation", name="Settings")
    await expect(tabs.get_by_role("link", name="API keys")).to_have_count(0)
    await page.goto(f"{web.url}/settings")
    await expect(page.get_by_text("Rows a month")).to_be_visible()
    await expect(page.get_by_role("button", name="Save")).to_have_count(0)
    for path in ("/settings/api-keys", "/settings/audit", "/operators"):
        await page.goto(f"{web.url}{path}")
        await expect(page.get_by_role("alert")).to_contain_text("Your role does not allow this")
    await expect(page.get_by_role("link", name="Operators")).to_have_count(0)
    await page.goto(f"{web.url}/settings/members")
    await page.get_by_role("button", name="Leave").click()
    await sure(page, "Leave")
    await expect(page).to_have_url(f"{web.url}/no-organization")


async def test_an_admin_cannot_do_an_owners_things(page: Page, web: Web) -> None:
    story = await stories.make_story()
    admin = await make_member(story.actor.org_id, Role.ADMIN)
    other = await add_member(story.actor.org_id, Role.ADMIN)
    editor = await add_member(story.actor.org_id, Role.EDITOR)
    await log_in(page, web, admin.email)
    await page.goto(f"{web.url}/settings/members")
    below = page.get_by_role("row").filter(has_text=editor.email)
    await expect(below.get_by_role("option")).to_have_text(["viewer", "editor"])
    await expect(below.get_by_role("button", name="Make owner")).to_have_count(0)
    for email in (other.email, story.actor.email):
        equal = page.get_by_role("row").filter(has_text=email)
        await expect(equal).to_be_visible()
        await expect(equal.get_by_role("button")).to_have_count(0)
        await expect(equal.get_by_role("combobox")).to_have_count(0)
    await page.goto(f"{web.url}/settings")
    await expect(page.get_by_text("Rows a month")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete the organisation")).to_have_count(0)
    await expect(page.get_by_role("button", name="Save")).to_have_count(0)


async def test_one_goes_from_one_organisation_to_another(page: Page, web: Web) -> None:
    story = await stories.make_story()
    await log_in(page, web, story.actor.email)
    menu = page.get_by_role("button", name="Organisation: ")
    await menu.click()
    await page.get_by_role("button", name="New organisation").click()
    await page.get_by_label("Name of the organisation").fill("Second Line")
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page.locator("#organization")).to_have_text("Second Line")
    # Renamed, used up to its name, and deleted: the first one is left.
    await page.goto(f"{web.url}/settings")
    await page.get_by_label("Name of the organisation").fill("Second Rail")
    await page.get_by_label("Runs at once").fill("3")
    await page.get_by_role("button", name="Save").click()
    await toast(page, "The organisation was saved.")
    await expect(page.get_by_text("0 / 3", exact=True)).to_be_visible()
    await menu.click()
    await page.get_by_role("button", name="Demo Airlines").click()
    await expect(page.locator("#organization")).to_have_text("Demo Airlines")
    await menu.click()
    await page.get_by_role("button", name="Second Rail").click()
    await expect(page.locator("#organization")).to_have_text("Second Rail")
    await page.goto(f"{web.url}/settings")
    await page.get_by_role("button", name="Delete the organisation").click()
    await page.locator("dialog[open] input").fill("Second")
    await sure(page, "Delete the organisation")
    await expect(page.locator("dialog[open]").get_by_role("alert")).to_contain_text("confirm")
    await page.locator("dialog[open] input").fill("Second Rail")
    await sure(page, "Delete the organisation")
    await expect(page.locator("#organization")).to_have_text("Demo Airlines")


async def test_keys_and_a_phones_menu_lead_everywhere(page: Page, web: Web) -> None:
    story = await stories.make_story()
    await log_in(page, web, story.actor.email)
    await page.keyboard.press("g")
    await page.keyboard.press("p")
    await expect(page).to_have_url(f"{web.url}/pipelines")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Pipelines")
    shortcuts = page.locator("dialog[open]").filter(has_text="Keyboard shortcuts")
    # A page listens to keys a moment after its heading is there.
    while not await shortcuts.is_visible():
        await page.keyboard.press("?")
        await page.wait_for_timeout(200)
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+k")
    search = page.get_by_role("combobox", name="Search and commands")
    await search.fill("nyc_fl")
    await expect(page.get_by_role("option", name="nyc_flights")).to_be_visible()
    await search.fill("audit")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{web.url}/settings/audit")
    await page.set_viewport_size({"width": 390, "height": 800})
    queue = page.get_by_role("link", name="Queue")
    await expect(queue).to_be_hidden()
    await page.get_by_role("button", name="Menu").click()
    await queue.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Queue")
    await expect(queue).to_be_hidden()


async def test_operators_see_figures_and_no_content(page: Page, web: Web) -> None:
    theirs = await stories.make_story(organization="Eve's Cargo")
    await stories.whole_run(theirs)
    operator = await stories.register(stories.new_email(), "Platform people")
    async with get_session(SYSTEM) as session:
        await set_operator(session, operator.email, True)
    await log_in(page, web, operator.email)
    await page.get_by_role("link", name="Operators").click()
    await page.get_by_label("Part of a name").fill("eve's")
    await page.get_by_role("button", name="Search", exact=True).click()
    row = page.get_by_role("row").filter(has_text="Eve's Cargo")
    await expect(row.first).to_contain_text("367,687")
    health = page.get_by_role("list", name="Health of the parts")
    await expect(health.get_by_role("listitem").first).to_have_text("PostgreSQLok")
    told = await page.content()
    assert "nyc_flights" not in told and theirs.actor.email not in told


async def test_an_address_without_a_page_has_an_id_for_the_log(page: Page, web: Web) -> None:
    async with httpx.AsyncClient(timeout=20) as client:
        answer = await client.get(f"{web.url}/no/such/page")
    assert answer.status_code == 404 and answer.headers["x-request-id"]
    await page.goto(f"{web.url}/no/such/page")
    await expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
    await expect(page.locator("#request-id")).not_to_be_empty()

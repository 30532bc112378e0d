"""A person in a browser: log in, see the runs, watch one run live, log out."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from playwright.async_api import Browser, Page, expect

from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.services.invitation_service import InvitationService
from datanika.services.second_factor import SecondFactor
from tests.support import story as stories
from tests.support.accounts import mails, make_person, token_of
from tests.support.browser import browser, log_in, page
from tests.support.dependencies import needs_fresh, succeed, trigger
from tests.support.pipelines import make_pipeline
from tests.support.story import PASSWORD, Story
from tests.support.web import Web

pytestmark = pytest.mark.e2e

__all__ = ["browser", "page"]


async def test_login_runs_live_run_and_logout(page: Page, web: Web) -> None:
    story: Story = await stories.make_story()
    finished = await stories.whole_run(story)
    await log_in(page, web, story.actor.email)
    await expect(page.locator("#organization")).to_have_text("Demo Airlines")
    await page.get_by_role("link", name="Runs", exact=True).click()
    row = page.get_by_role("row").filter(has_text=f"#{finished}")
    await expect(row).to_contain_text("succeeded")
    await expect(row).to_contain_text("367,687")

    # The list shows a new run by itself.
    live = await stories.start_run(story)
    await page.get_by_role("link", name=f"#{live}").click(timeout=20_000)
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"nyc_flights #{live}")
    # The whole graph is there before anything ran.
    await expect(page.locator(".graph-node")).to_have_count(13)
    await expect(page.locator(".graph-node.is-pending")).to_have_count(13)

    begin = utcnow()
    await stories.play(story, live, stories.load_events(begin, until="flights"))
    await expect(page.locator(".graph-node.is-running")).to_contain_text("flights")
    await expect(page.get_by_role("log")).to_contain_text("raw.planes: 3,322 rows loaded")
    await stories.play(story, live, stories.load_events(begin)[-3:])
    plan = await stories.plan_of(story, live)
    await stories.play(story, live, stories.transform_events(plan, utcnow()))
    await stories.finish(story, live)
    await expect(page.locator("h1 + span .badge")).to_have_text("succeeded")
    await expect(page.locator(".graph-node.is-succeeded")).to_have_count(13)
    await expect(page.get_by_role("button", name="Run again")).to_be_visible()

    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await page.goto(f"{web.url}/runs/{live}")
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert "Demo Airlines" not in await page.content()


async def test_a_wrong_password_is_explained_and_the_way_is_kept(page: Page, web: Web) -> None:
    story = await stories.make_story()
    run_id = await stories.start_run(story)
    await page.goto(f"{web.url}/runs/{run_id}")
    await page.get_by_label("Email").fill(story.actor.email)
    await page.get_by_label("Password").fill("not this one at all")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_have_text("The email or the password is wrong.")
    await page.get_by_label("Email").fill(story.actor.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"nyc_flights #{run_id}")


async def test_language_and_direction_survive_a_reload(page: Page, web: Web) -> None:
    ada = await stories.register(stories.new_email(), "Acme")
    await log_in(page, web, ada.email)
    await page.goto(f"{web.url}/runs")
    await expect(page.get_by_role("heading", name="Nothing has run yet")).to_be_visible()
    await page.get_by_label("Language").select_option("ar")
    await expect(page.locator("html")).to_have_attribute("dir", "rtl")
    await expect(page.get_by_role("heading", level=1)).to_have_text("عمليات التشغيل")
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("عمليات التشغيل")
    await expect(page.locator("html")).to_have_attribute("dir", "rtl")


async def test_another_organisations_run_does_not_exist(page: Page, web: Web) -> None:
    theirs = await stories.make_story(organization="Eve's Cargo")
    run_id = await stories.whole_run(theirs)
    ada = await stories.register(stories.new_email(), "Acme")
    await log_in(page, web, ada.email)
    await page.goto(f"{web.url}/runs/{run_id}")
    await expect(page.get_by_role("alert")).to_have_text(
        "There is no such thing in this organisation."
    )
    assert "nyc_flights" not in await page.content()


async def test_the_queue_says_what_runs_wait_for_and_follows_them(page: Page, web: Web) -> None:
    story = await stories.make_story()
    owner = story.actor
    report = (await make_pipeline(owner, "report")).id
    await needs_fresh(owner, report, story.pipeline_id)
    await log_in(page, web, owner.email)
    await page.get_by_role("link", name="Queue").click()
    await expect(page.get_by_role("heading", name="Nothing waits")).to_be_visible()
    # It fills by itself.
    first = await stories.start_run(story)
    second = (await trigger(owner, story.pipeline_id)).id
    waiting = (await trigger(owner, report)).id
    before = page.get_by_role("row").filter(has_text=f"#{second}")
    await expect(before).to_contain_text("Waits for an earlier run of this pipeline")
    await expect(before.get_by_role("link", name=f"#{first}")).to_be_visible()
    stale = page.get_by_role("row").filter(has_text=f"#{waiting}")
    await expect(stale).to_contain_text("Waits for fresh data of another pipeline")
    await expect(stale).to_contain_text("nyc_flights · until")
    await expect(page.locator("#places")).to_have_text("1 / 10")
    await succeed(owner, story.pipeline_id)
    # Nobody started Prefect for this test.
    await expect(stale).to_contain_text("Prefect does not answer")


async def test_run_now_leads_to_the_new_run(page: Page, web: Web) -> None:
    story = await stories.make_story()
    await log_in(page, web, story.actor.email)
    await page.get_by_role("link", name="Pipelines", exact=True).click()
    await page.get_by_role("button", name="Run now: nyc_flights").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("nyc_flights #")
    await expect(page.locator("h1 + span .badge")).to_have_text("queued")
    await page.get_by_role("button", name="Cancel run").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
    await expect(page.locator("h1 + span .badge")).to_have_text("cancelled")


async def test_a_forgotten_password_is_replaced_through_the_mail(page: Page, web: Web) -> None:
    story = await stories.make_story()
    await page.goto(f"{web.url}/login")
    await page.get_by_role("link", name="Forgot the password?").click()
    # The login page has a field of the same name.
    await expect(page.get_by_role("heading", name="Choose a new password")).to_be_visible()
    await page.get_by_label("Email").fill(story.actor.email)
    await page.get_by_role("button", name="Send the link").click()
    await expect(page.get_by_role("status")).to_contain_text("a mail with a link is on its way")
    [sent] = [mail for mail in mails() if mail["To"] == story.actor.email]
    await page.goto(f"{web.url}/reset-password?token={token_of(sent)}")
    await page.get_by_label("New password").fill("another horse battery")
    await page.get_by_role("button", name="Change the password").click()
    await expect(page.get_by_role("status")).to_have_text(
        "Your password was changed. Log in with the new one."
    )
    await page.get_by_label("Email").fill(story.actor.email)
    await page.get_by_label("Password").fill("another horse battery")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("#organization")).to_be_visible()
    # The link is used up, and its page says so.
    await page.goto(f"{web.url}/reset-password?token={token_of(sent)}")
    await page.get_by_label("New password").fill("a third horse battery")
    await page.get_by_role("button", name="Change the password").click()
    await expect(page.get_by_role("alert")).to_contain_text("The link is not valid")


async def test_an_account_with_a_second_factor_is_asked_for_its_code(page: Page, web: Web) -> None:
    story = await stories.make_story()
    async with get_session(SYSTEM) as session:
        factor = SecondFactor(session, story.actor.user_id)
        codes = await factor.enable(pyotp.TOTP((await factor.set_up()).secret).now(), "")
    await page.goto(f"{web.url}/login")
    for code in (None, codes[0]):
        await page.get_by_label("Email").fill(story.actor.email)
        await page.get_by_label("Password").fill(PASSWORD)
        if code is not None:
            await page.get_by_label("Code of your authenticator app").fill(code)
        await page.get_by_role("button", name="Log in").click()
        if code is None:
            await expect(page.get_by_role("alert")).to_contain_text("a second factor")
    await expect(page.locator("#organization")).to_be_visible()


async def invite(organization: str, email: str) -> str:
    """The token of the mailed link."""
    owner = (await make_person(organization)).owner
    async with get_session(owner.scope) as session:
        sent = await InvitationService(session, owner).create(email, Role.VIEWER)
    return parse_qs(urlsplit(sent.mailed_link).query)["token"][0]


async def test_an_invitation_makes_an_account_and_a_member(page: Page, web: Web) -> None:
    email = stories.new_email()
    token = await invite("Engines", email)
    # Half a link tells nothing.
    await page.goto(f"{web.url}/invitation?token={token[:20]}")
    await expect(page.get_by_text("not valid any more")).to_be_visible()
    assert "Engines" not in await page.content()
    await page.goto(f"{web.url}/invitation?token={token}")
    await expect(page.get_by_text("Engines")).to_be_visible()
    await expect(page.get_by_role("heading", name="You are invited")).to_be_visible()
    await page.get_by_label("Your name").fill("Grace")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create my account and join").click()
    await expect(page.get_by_role("status")).to_have_text("You are a member now. Log in.")
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("#organization")).to_have_text("Engines")


async def test_who_has_an_account_logs_in_and_answers_an_invitation(page: Page, web: Web) -> None:
    guest = (await make_person("Elsewhere")).owner
    accepted, declined = [await invite(name, guest.email) for name in ("Yes Ltd", "No Ltd")]
    await page.goto(f"{web.url}/invitation?token={accepted}")
    await page.get_by_role("link", name="Log in").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await page.get_by_label("Email").fill(guest.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_text("Yes Ltd")).to_be_visible()
    await page.get_by_role("button", name="Accept").click()
    await expect(page.locator("#organization")).to_have_text("Yes Ltd")
    await page.goto(f"{web.url}/invitation?token={declined}")
    await page.get_by_role("button", name="Decline").click()
    await expect(page.locator("#organization")).to_have_text("Yes Ltd")
    await page.goto(f"{web.url}/invitation?token={declined}")
    await expect(page.get_by_text("not valid any more")).to_be_visible()
    other = await invite("Not yours", stories.new_email())
    await page.goto(f"{web.url}/invitation?token={other}")
    await expect(page.get_by_text("This invitation is for another address")).to_be_visible()
    assert "Not yours" not in await page.content()


async def test_a_page_whose_scripts_fail_says_so_and_offers_a_way_on(
    browser: Browser, web: Web
) -> None:
    story = await stories.make_story()
    context = await browser.new_context(locale="de-DE")
    context.set_default_timeout(20_000)
    page = await context.new_page()
    await page.goto(f"{web.url}/login")
    await page.locator("[name=email]").fill(story.actor.email)
    await page.locator("[name=password]").fill(stories.PASSWORD)
    await page.locator("form [type=submit]").click()
    await page.locator("#organization").wait_for()
    # What no version of the API answers breaks what draws the answer.
    await page.route("**/api/v1/**", lambda route: route.fulfill(json={"rows": 7}))
    await page.reload()
    crashed = page.locator(".crash")
    await expect(crashed.get_by_role("heading")).to_have_text("Diese Seite funktioniert nicht mehr")
    await page.unroute("**/api/v1/**")
    await crashed.get_by_role("button", name="Neu laden").click()
    await expect(page.locator("#organization")).to_be_visible()
    await expect(crashed).to_have_count(0)
    await context.close()

"""Every page, found by itself: axe finds nothing, and nothing is wider than the screen.

Of two languages, two colours and two screens every pair is tried, with one load of a page for each
language.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, TimeoutError

import datanika.ui.pages as areas
from datanika.services.invitation_service import PATH as INVITATION_PAGE
from datanika.services.sign_up import CONFIRM_PAGE, FORGOT_PAGE, RESET_PAGE, SIGN_UP_PAGE
from datanika.ui.routes import Page as Route
from tests.support import story as stories
from tests.support.browser import browser
from tests.support.furnished import furnish
from tests.support.web import Web

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

__all__ = ["browser"]

DESKTOP, PHONE = {"width": 1360, "height": 850}, {"width": 390, "height": 800}
LOOKS = {
    "en": (("light", DESKTOP), ("dark", PHONE)),
    "ar": (("dark", DESKTOP), ("light", PHONE)),
}
OPEN = "dialog[open]"
ENTRANCES = (
    "/login", SIGN_UP_PAGE, FORGOT_PAGE, f"{RESET_PAGE}?token=x", f"{CONFIRM_PAGE}?token=x",
    f"{INVITATION_PAGE}?token=x", "/no/such/page",
)  # fmt: skip


def member_pages() -> Iterator[Route]:
    """What every area of the application says it has."""
    for module in pkgutil.iter_modules(areas.__path__):
        area = importlib.import_module(f"{areas.__name__}.{module.name}")
        yield from getattr(area, "PAGES", ())


async def problems(page: Page, part: str = "html") -> list[str]:
    """What axe finds in a part of the page, and what is too wide."""
    found = await page.evaluate("(part) => axe.run(part, {resultTypes: ['violations']})", part)
    said = [
        f"{one['id']}: {', '.join(str(node['target'][0]) for node in one['nodes'][:4])}"
        for one in found["violations"]
    ]
    too_wide = await page.evaluate(
        "(part) => {const e = document.querySelector(part); return e.scrollWidth - e.clientWidth}",
        part,
    )
    return [*said, f"{too_wide} px too wide"] if too_wide > 0 else said


async def check(page: Page, url: str, locale: str) -> list[str]:
    """The problems of a page in the looks of a language."""
    await page.goto(url)
    await page.locator("h1").first.wait_for()
    await page.locator(".spinner").wait_for(state="detached")
    # What the page itself fetches; a page that never rests is looked at as it is.
    with contextlib.suppress(TimeoutError):
        await page.wait_for_load_state("networkidle", timeout=3_000)
    found = []
    for colours, screen in LOOKS[locale]:
        await page.set_viewport_size({"width": screen["width"], "height": screen["height"]})
        await page.evaluate(
            "(dark) => document.documentElement.classList.toggle('dark', dark)", colours == "dark"
        )
        await page.wait_for_timeout(150)
        found += [
            f"{page.url} {locale} {colours} {screen['width']}: {one}"
            for one in await problems(page)
        ]
    # In the last look only: the other language has the other one.
    return found + [
        f"{page.url} {locale} {colours} {screen['width']}, {one}"
        for one in await problems_of_dialogs(page)
    ]


async def problems_of_dialogs(page: Page) -> list[str]:
    """The problems of each dialog that the page's buttons say they open, one of a kind."""
    openers = page.locator("[aria-haspopup=dialog]:enabled:visible")
    # The same of many rows (the name of the row's thing follows a colon) is opened once.
    kinds: dict[str, int] = {}
    for position, label in enumerate(
        await openers.evaluate_all("all => all.map(e => e.ariaLabel ?? e.innerText)")
    ):
        kinds.setdefault(label.split(":")[0], position)
    found = []
    for label, position in kinds.items():
        await openers.nth(position).click()
        dialog = page.locator(OPEN)
        await dialog.wait_for()
        await dialog.locator(".spinner").wait_for(state="detached")
        await page.wait_for_timeout(150)
        found += [f"dialog of '{label}': {one}" for one in await problems(page, OPEN)]
        await page.keyboard.press("Escape")
        await dialog.wait_for(state="detached")
    return found


@pytest.mark.parametrize("locale", LOOKS)
async def test_every_page_is_accessible_and_fits(browser: Browser, web: Web, locale: str) -> None:
    story = await stories.make_story()
    examples = await furnish(story)
    context = await browser.new_context(
        locale="en-GB", viewport={"width": 1360, "height": 850}, reduced_motion="reduce"
    )
    context.set_default_timeout(30_000)
    await context.add_init_script(AXE_SCRIPT)
    await context.add_cookies([{"name": "datanika_locale", "value": locale, "url": web.url}])
    page = await context.new_page()
    found: list[str] = []
    for path in ENTRANCES:
        found += await check(page, f"{web.url}{path}", locale)
    await page.set_viewport_size({"width": 1360, "height": 850})
    await page.goto(f"{web.url}/login")
    await page.locator("[name=email]").fill(story.actor.email)
    await page.locator("[name=password]").fill(stories.PASSWORD)
    await page.locator("form [type=submit]").click()
    await page.locator("#organization").wait_for()
    for route in member_pages():
        # A KeyError: say which one of the story's things the new page should show.
        path = re.sub(r"\[(\w+)\]", lambda name: str(examples[name[1]]), route.route)
        found += await check(page, f"{web.url}{path}", locale)
    await context.close()
    assert not found, "\n".join(found)

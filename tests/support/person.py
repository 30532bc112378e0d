"""Somebody at a browser who reads the platform in a language, on a desktop or a phone.

Labels are looked up by their key, so that one story can be told in every language.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, Locator, Page, expect

from datanika.i18n import direction, load_translations

DESKTOP, PHONE = (1360, 900), (390, 844)
STEP_SECONDS = 60
"""How long a click may wait for what it needs: other tests share the machine."""


@dataclass(frozen=True)
class Look:
    """How somebody looks at the platform."""

    locale: str
    colours: Literal["light", "dark"]
    screen: tuple[int, int]
    """Pixels: width, height."""

    def __str__(self) -> str:
        return f"{self.locale}-{self.colours}-{self.screen[0]}"


@dataclass(frozen=True)
class Person:
    """``person["login.submit"]`` is that label in their language."""

    page: Page
    url: str
    look: Look

    def __getitem__(self, key: str) -> str:
        return load_translations(self.look.locale)[key]

    @property
    def dialog(self) -> Locator:
        """The dialog that is open."""
        return self.page.locator("dialog[open]")

    async def number(self, value: int) -> str:
        """``value`` as their browser writes it."""
        script = "([value, locale]) => new Intl.NumberFormat(locale).format(value)"
        return str(await self.page.evaluate(script, [value, self.look.locale]))

    async def open(self, path: str) -> None:
        """Go to a page by its address, until it is there in their language."""
        await self.page.goto(f"{self.url}{path}")
        await expect(self.page.locator("#content h1, .login-form h1").first).to_be_visible()
        root = self.page.locator("html")
        await expect(root).to_have_attribute("lang", self.look.locale)
        await expect(root).to_have_attribute("dir", direction(self.look.locale))

    async def go(self, key: str) -> None:
        """Go to a page by its entry in the menu."""
        if self.look.screen == PHONE:
            await self.press("frame.menu")
        entry = self.page.locator("#sidebar nav").get_by_text(self[key], exact=True)
        await entry.click()
        # Until then it is the page before.
        await expect(entry).to_have_attribute("aria-current", "page")

    async def press(self, key: str, within: Locator | None = None) -> None:
        """Press the button with that label."""
        where = within or self.page
        await where.get_by_role("button", name=self[key], exact=True).click()

    async def fill(self, within: Locator | None = None, **fields: str) -> None:
        """Fill inputs by their ``name``."""
        where = within or self.page.locator("main")
        for name, value in fields.items():
            await where.locator(f"[name={name}]").fill(value)

    async def log_in(self, email: str, password: str) -> None:
        """On the page of the login."""
        await self.fill(email=email, password=password)
        await self.press("login.submit")
        await expect(self.page.locator("#organization")).to_be_attached()

    async def picture(self, name: str) -> None:
        """Into the folder of ``DATANIKA_SCREENSHOTS``, where that names one."""
        if folder := os.environ.get("DATANIKA_SCREENSHOTS"):
            target = Path(folder) / str(self.look)
            target.mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=target / f"{name}.png")

    async def show(self, name: str) -> None:
        """A picture; and whether somebody takes one or not: the page is not wider than the
        screen."""
        await self.picture(name)
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        too_wide = await self.page.evaluate(script)
        assert too_wide <= 0, f"{name}: {too_wide} px wider than the screen"


@asynccontextmanager
async def at_a_browser(browser: Browser, url: str, look: Look) -> AsyncIterator[Person]:
    """A person with a browser of their own; in the end no script of a page may have failed."""
    width, height = look.screen
    context = await browser.new_context(
        locale=look.locale,
        viewport={"width": width, "height": height},
        color_scheme=look.colours,
        has_touch=look.screen == PHONE,
    )
    context.set_default_timeout(STEP_SECONDS * 1000)
    wrong: list[str] = []
    page = await context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda message: wrong.append(message.text) if "Security Policy" in message.text else None,
    )
    person = Person(page, url, look)
    try:
        yield person
    except BaseException:
        await person.picture(f"failed{urlsplit(page.url).path.replace('/', '-')}")
        raise
    finally:
        await context.close()
    assert wrong == []

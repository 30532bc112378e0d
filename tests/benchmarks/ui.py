"""How fast the UI is for people: ``uv run python -m tests.benchmarks.ui``.

The web process as ``datanika up`` starts it on a durable PostgreSQL, Chromium in front of it, and a
hundred clients that hold pages open. Names of cases as arguments choose some. Cases (durations in
seconds unless the name says otherwise):

* ``load``: ``value`` from a cold address (new browser context, nothing cached) to the first page
  with its data on it; ``navigate``: the same from a click in the menu.
* ``click``: from a click to its answer in the page, while :data:`CLIENTS` clients are connected,
  all of which watch a live list and click, too.
* ``logs``: a run's page while its worker writes 1,100 log lines a second: how many the page shows a
  second, and how long after it was written a line is there (the worst).
* ``lineage``: frames a second while a lineage graph of 2,000 nodes is dragged.
* ``memory``: growth of the web process for a client that has opened three pages.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from datanika.config import settings
from datanika.contracts.events import LogLine, utcnow
from datanika.db import SYSTEM, get_session
from datanika.services.auth import AuthService
from tests.benchmarks.report import percentile, print_case
from tests.support import story as stories
from tests.support.browser import ARGUMENTS, CHROMIUM
from tests.support.postgres import make_template, migrated_database, running_server
from tests.support.socket import ROOT, Socket, open_socket
from tests.support.story import Story
from tests.support.web import Web, built_frontend, serve

CLIENTS = 100
LOADS = 9
ROUNDS = 6
CLICKS = 80
CLICK_EVERY = 5.0
"""Seconds between two clicks of one of the other clients."""
LINES_A_SECOND = 1100
"""More than the 1,000 that are promised: what is shown a second counts to when the last is."""
LOG_SECONDS = 20
BATCH = 50
RUNS = 60
TABLES = 2000
RUN_LIST = (
    f"{ROOT}.datanika___ui___state___tenant____tenant_state"
    ".datanika___ui___state___run_list_state____run_list_state"
)

# Click `selector` and wait, frame by frame, until `isThere` says so. Milliseconds.
_UNTIL = """async ([selector, isThere]) => {
  const there = new Function("before", "return " + isThere);
  const before = document.querySelector("tbody tr a")?.textContent;
  const start = performance.now();
  document.querySelector(selector).click();
  return await new Promise((done, failed) => {
    const look = () => {
      if (there(before)) done(performance.now() - start);
      else if (performance.now() - start > 20000) failed(new Error("never " + isThere));
      else setTimeout(look, 1);
    };
    look();
  });
}"""

_HAS_DATA = "document.querySelector('.lane-bar')?.getBoundingClientRect().width > 0"

_WATCH_LOG = """() => {
  window.samples = [];
  const look = () => {
    const rows = document.querySelectorAll(".log-line .log-message");
    let last = -1;
    rows.forEach((row) => {
      const number = /^line (\\d+)/.exec(row.textContent);
      if (number) last = Math.max(last, Number(number[1]));
    });
    window.samples.push([Date.now() / 1000, last]);
  };
  window.look = look;
  window.watching = setInterval(look, 100);
}"""


class Bench:
    def __init__(self, web: Web, process: psutil.Process, browser: Browser, story: Story) -> None:
        self.web, self.process, self.browser, self.story = web, process, browser, story
        self.cookie = ""

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """A page of a browser that has never been here, logged in."""
        context: BrowserContext = await self.browser.new_context(
            locale="en-GB", viewport={"width": 1360, "height": 850}, bypass_csp=True
        )
        cookie = {"name": "datanika_session", "value": self.cookie, "url": self.web.url}
        await context.add_cookies([cookie])  # type: ignore[list-item]
        try:
            yield await context.new_page()
        finally:
            await context.close()

    async def log_in(self) -> None:
        async with get_session(SYSTEM) as session:
            auth = AuthService(session)
            opened = await auth.create_session(self.story.actor.email, stories.PASSWORD)
            self.cookie = opened.token


async def load(bench: Bench) -> None:
    took = []
    for _ in range(LOADS):
        async with bench.page() as page:
            start = time.perf_counter()
            await page.goto(f"{bench.web.url}/", wait_until="commit")
            # Looked for at every frame: a locator looks less and less often.
            await page.wait_for_function(_HAS_DATA, polling="raf")
            took.append(time.perf_counter() - start)
    print_case("load", {"value": median(took), "worst": max(took), "loads": LOADS})


async def navigate(bench: Bench) -> None:
    places = {
        "/runs": "document.querySelector('h1')?.textContent === 'Runs'"
        " && document.querySelector('tbody tr a')",
        "/queue": "document.querySelector('h1')?.textContent === 'Queue'"
        " && document.querySelector('.empty, tbody tr')",
        "/": "document.querySelector('.lane-bar')",
    }
    took: list[float] = []
    async with bench.page() as page:
        await page.goto(f"{bench.web.url}/")
        await page.locator(".lane-bar").first.wait_for()
        for number in range(ROUNDS):
            for place, is_there in places.items():
                found = await page.evaluate(_UNTIL, [f'nav a[href="{place}"]', is_there])
                # The first time a page's script is loaded, too; that counts.
                took.append(found / 1000)
                await page.wait_for_timeout(150 if number else 400)
    print_case(
        "navigate", {"value": median(took), "p95": percentile(took, 0.95), "worst": max(took)}
    )


async def hold_pages(bench: Bench, stack: AsyncExitStack, count: int) -> list[Socket]:
    """So many clients that look at the list of runs."""

    async def open_one() -> Socket:
        socket = await stack.enter_async_context(open_socket(bench.web, cookie=bench.cookie))
        await socket.hydrate("/runs")
        socket.seen.clear()
        return socket

    found: list[Socket] = []
    while len(found) < count:
        some = min(20, count - len(found))
        found += await asyncio.gather(*(open_one() for _ in range(some)))
    return found


async def keep_clicking(socket: Socket, delay: float) -> None:
    await asyncio.sleep(delay)
    number = 0
    while True:
        number += 1
        state = "succeeded" if number % 2 else ""
        await socket.send(f"{RUN_LIST}.filter_by_state", {"state": state}, "/runs")
        end = time.monotonic() + CLICK_EVERY
        while time.monotonic() < end:
            await socket.listen(0.5)
            socket.seen.clear()


async def click(bench: Bench) -> None:
    took: list[float] = []
    async with AsyncExitStack() as stack, bench.page() as page:
        others = await hold_pages(bench, stack, CLIENTS - 1)
        busy = [
            asyncio.create_task(keep_clicking(one, CLICK_EVERY * number / len(others)))
            for number, one in enumerate(others)
        ]
        stack.push_async_callback(stopped, busy)
        await page.goto(f"{bench.web.url}/runs")
        await page.locator("tbody tr a").first.wait_for()
        await page.wait_for_timeout(3000)
        changed = "document.querySelector('tbody tr a')?.textContent !== before"
        for number in range(CLICKS):
            button = f".pager button:nth-child({2 if number % 2 == 0 else 1})"
            took.append(await page.evaluate(_UNTIL, [button, changed]))
            await page.wait_for_timeout(100)
    figures = {"p50_ms": median(took), "p95_ms": percentile(took, 0.95), "clients": CLIENTS}
    print_case("click", figures | {"clicks": CLICKS})


async def stopped(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def logs(bench: Bench) -> None:
    run_id = await stories.start_run(bench.story)
    await stories.play(bench.story, run_id, stories.load_events(utcnow(), until="flights"))
    written: list[float] = []
    async with bench.page() as page:
        await page.goto(f"{bench.web.url}/runs/{run_id}")
        await page.locator(".log-line").first.wait_for()
        await page.evaluate(_WATCH_LOG)
        begin = time.time()
        while len(written) < LINES_A_SECOND * LOG_SECONDS:
            numbers = range(len(written), len(written) + BATCH)
            text = "reading the source, part by part, as a worker says it"
            lines = [LogLine(step_key="load_nyc", message=f"line {n} {text}") for n in numbers]
            await stories.play(bench.story, run_id, lines)
            written += [time.time()] * BATCH
            wait = begin + len(written) / LINES_A_SECOND - time.time()
            await asyncio.sleep(max(0.0, wait))
        wrote = time.time() - begin
        last = f"line {len(written) - 1} "
        await page.locator(".log-line").filter(has_text=last).wait_for()
        samples = await page.evaluate(
            "clearInterval(window.watching), window.look(), window.samples"
        )
        shown_at = next(at for at, number in samples if number == len(written) - 1)
    await stories.finish(bench.story, run_id)
    behind = [
        at - written[number + 1]
        for at, number in samples
        if 0 <= number < len(written) - 1 and written[number + 1] < at
    ]
    print_case(
        "logs",
        {
            "lines_per_s": len(written) / (shown_at - begin),
            "behind_s": max(behind, default=0.0),
            "behind_p50_s": median(behind or [0.0]),
            "written_per_s": len(written) / wrote,
            "lines": len(written),
        },
    )


async def lineage(bench: Bench) -> None:
    from tests.support.lineage_map import make_map, pan_fps

    owner = await stories.register(stories.new_email(), "Big")
    await make_map(owner, TABLES)
    big = Bench(bench.web, bench.process, bench.browser, Story(owner, 0))
    await big.log_in()
    async with big.page() as page:
        await page.goto(f"{bench.web.url}/lineage")
        await page.locator(".lineage-count[data-layout-seconds]").wait_for()
        fps = [await pan_fps(page) for _ in range(3)]
    print_case("lineage", {"fps": median(fps), "worst_fps": min(fps), "tables": TABLES})


async def memory(bench: Bench) -> None:
    run_id = await stories.whole_run(bench.story)
    paths = ("/runs", "/", f"/runs/{run_id}")

    async def open_one(stack: AsyncExitStack) -> None:
        socket = await stack.enter_async_context(open_socket(bench.web, cookie=bench.cookie))
        for path in paths:
            query = {"run_id": str(run_id)} if path.endswith(str(run_id)) else {}
            await socket.send(f"{ROOT}.hydrate_and_load", path=path, query=query)
            await socket.listen(1.0)
        socket.seen.clear()

    async with AsyncExitStack() as stack:
        # The first ones fill pools and caches that all share.
        for _ in range(3):
            await asyncio.gather(*(open_one(stack) for _ in range(10)))
        before = await settled(bench.process)
        for _ in range(CLIENTS // 20):
            await asyncio.gather(*(open_one(stack) for _ in range(20)))
        grown = await settled(bench.process) - before
    print_case("memory", {"kb_per_client": grown / CLIENTS / 1000, "clients": CLIENTS})


async def settled(process: psutil.Process) -> int:
    """Memory of the process' own, in bytes, when its collector had the time to run: the least of
    some looks."""
    gc.collect()
    seen: list[int] = []
    for _ in range(12):
        await asyncio.sleep(1)
        seen.append(process.memory_full_info().uss)
    return min(seen[-6:])


CASES = {
    "load": load,
    "navigate": navigate,
    "click": click,
    "logs": logs,
    "lineage": lineage,
    "memory": memory,
}


async def measure(web: Web, process: psutil.Process) -> None:
    story = await stories.make_story()
    for _ in range(RUNS):
        await stories.whole_run(story)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        bench = Bench(web, process, browser, story)
        await bench.log_in()
        chosen = sys.argv[1:] or list(CASES)
        for name in chosen:
            await CASES[name](bench)
        await browser.close()


def web_process(web: Web) -> psutil.Process:
    """The child that serves ``web``."""
    port = web.url.rpartition(":")[2]
    for child in psutil.Process().children():
        if port in child.cmdline():
            return child
    raise RuntimeError("The web process is not there.")


async def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="datanika-bench-"))
    given = os.environ.get("DATANIKA_UI_DIR")
    frontend = await asyncio.to_thread(built_frontend, Path(given) if given else folder / "ui")
    with running_server(durable=True) as server, pytest.MonkeyPatch.context() as monkeypatch:
        template: Any = await asyncio.to_thread(make_template, server)
        async with migrated_database(server, template, monkeypatch, folder / "home"):
            with serve(frontend, folder / "home") as web:
                await measure(web, web_process(web))


if __name__ == "__main__":
    assert settings.env == "development"
    asyncio.run(main())

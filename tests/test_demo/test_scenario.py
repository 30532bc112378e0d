"""The demo against the real API: it is set up once, found again, and says what went wrong."""

from __future__ import annotations

import asyncio
import io
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from datanika.client import DatanikaClient
from datanika.contracts.enums import RunState
from datanika.contracts.events import Failure, RunFinish
from datanika.demo.account import Account, open_account
from datanika.demo.report import Report
from datanika.demo.scenario import DemoFailed, play
from datanika.demo.setup import Prepared, Setup
from datanika.demo.warehouse import Warehouse
from datanika.errors import Conflict
from tests.support.application import application
from tests.support.serving import serving
from tests.support.worker import work

WAREHOUSE = Warehouse("127.0.0.1", 5432, "demo_warehouse", "demo", "demo-password")


@pytest.fixture
async def url(database: str) -> AsyncIterator[str]:
    async with serving(application()) as found:
        yield found


@pytest.fixture
async def account(url: str, tmp_path: Path) -> Account:
    return await asyncio.to_thread(open_account, url, tmp_path)


async def prepare(url: str, account: Account, warehouse: Warehouse = WAREHOUSE) -> Prepared:
    def work() -> Prepared:
        with DatanikaClient(url, account.token) as api:
            return Setup(api).prepare(warehouse)

    return await asyncio.to_thread(work)


async def test_a_new_account_has_a_password_and_its_key_is_for_its_owner_only(account, tmp_path):
    assert account.password
    path = tmp_path / "cli.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["token"] == account.token
    assert account.password not in path.read_text()
    assert account.password not in repr(account)


async def test_the_account_is_found_again_by_its_key(url, account, tmp_path):
    again = await asyncio.to_thread(open_account, url, tmp_path)
    assert (again.me.org_id, again.token) == (account.me.org_id, account.token)
    assert again.password is None


async def test_a_lost_key_is_an_error_that_says_so(url, account, tmp_path):
    (tmp_path / "cli.json").unlink()
    with pytest.raises(Conflict) as caught:
        await asyncio.to_thread(open_account, url, tmp_path)
    assert caught.value.code == "demo_key_missing"


async def test_a_second_setup_creates_nothing_and_a_moved_warehouse_is_followed(url, account):
    first = await prepare(url, account)
    assert (first.created, first.updated) == (14, 0)
    assert await prepare(url, account) == Prepared(first.pipeline_id, 0, 0)
    moved = Warehouse("127.0.0.1", 5433, "demo_warehouse", "demo", "demo-password")
    assert await prepare(url, account, moved) == Prepared(first.pipeline_id, 0, 1)
    assert await prepare(url, account, moved) == Prepared(first.pipeline_id, 0, 0)


async def test_a_failed_run_fails_the_demo_with_its_reason(url, account, tmp_path):
    prepared = await prepare(url, account)
    output = io.StringIO()

    def demo() -> None:
        with DatanikaClient(url, account.token) as api:
            play(api, tmp_path / "files", WAREHOUSE, Report(Console(file=output)))

    failure = Failure(code="host_unreachable", message="The warehouse does not answer.")
    end = RunFinish(state=RunState.FAILED, failure=failure)
    failing = asyncio.create_task(work(account.me.org_id, prepared.pipeline_id, end))
    with pytest.raises(DemoFailed) as caught:
        await asyncio.to_thread(demo)
    await failing
    assert "The warehouse does not answer." in caught.value.message
    assert "load_nyc" in output.getvalue()

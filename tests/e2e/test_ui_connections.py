"""A new user in a browser: sign up, connect a database, try it, look into it, change it."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Response, WebSocket, expect
from sqlalchemy import func, select

from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.contracts.spec import TransformationSpec
from datanika.db import SYSTEM, get_session
from datanika.models import Membership, User
from datanika.security import hash_password
from datanika.services.actor import Actor, prove_membership
from datanika.services.connection_service import ConnectionService
from datanika.services.transformation_service import TransformationService
from tests.support import story as stories
from tests.support.accounts import change, mails, token_of
from tests.support.browser import browser, log_in, page
from tests.support.jobs import serve_with_jobs
from tests.support.postgres import Warehouse
from tests.support.redis import RunningRedis
from tests.support.story import PASSWORD
from tests.support.tenants import add_member
from tests.support.web import Web

pytestmark = pytest.mark.e2e

__all__ = ["browser", "page"]

WRONG, NEW = "not-the-password-5e1", "canary-of-the-form-71c"


@pytest.fixture
async def working(
    database: str,
    frontend: Path,
    redis_server: RunningRedis,
    warehouse: Warehouse,
) -> AsyncIterator[Web]:
    """UI, API and a worker; connections may reach ``warehouse``."""
    warehouse.query("CREATE SCHEMA shop")
    warehouse.query(
        "CREATE TABLE shop.orders (id int PRIMARY KEY, note text, paid boolean NOT NULL)"
    )
    warehouse.query(
        "INSERT INTO shop.orders SELECT n, CASE WHEN n = 1 THEN NULL ELSE repeat('long ', 60) END, "
        "n % 2 = 0 FROM generate_series(1, 3) n"
    )
    with serve_with_jobs(frontend, settings.home, redis_server, warehouse) as web:
        yield web


def listen(page: Page) -> list[str]:
    """Everything that the server says from now on: frames of websockets and answers of the API."""
    told: list[str] = []

    def frames(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: told.append(str(frame)))

    async def answered(response: Response) -> None:
        if "/api/v1/" in response.url:
            # A redirect, or an answer that the page did not wait for, has no body.
            with contextlib.suppress(PlaywrightError):
                told.append(await response.text())

    page.on("websocket", frames)
    page.on("response", answered)
    return told


async def sign_up(page: Page, web: Web, email: str) -> None:
    await page.goto(f"{web.url}/login")
    await page.get_by_role("link", name="Create an account").click()
    await expect(page.get_by_role("heading", name="Create your account")).to_be_visible()
    await page.get_by_label("Your name").fill("Ada Lovelace")
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Organisation").fill("Analytical Engines")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create account").click()
    await expect(page.get_by_role("status")).to_contain_text("Your account is made")
    [sent] = [mail for mail in mails() if mail["To"] == email]
    await page.goto(f"{web.url}/verify-email?token={token_of(sent)}")
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_role("status")).to_contain_text("Your email address is confirmed")
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("#organization")).to_have_text("Analytical Engines")


async def test_a_new_user_connects_a_database_looks_into_it_and_changes_it(
    page: Page, working: Web, warehouse: Warehouse
) -> None:
    told = listen(page)
    email = stories.new_email()
    await sign_up(page, working, email)

    # An empty page says what to do first.
    await page.get_by_role("link", name="Connections", exact=True).click()
    await expect(page.get_by_role("heading", name="Three steps")).to_be_visible()
    await page.get_by_role("link", name="New connection").click()
    await page.get_by_label("Search for a database").fill("warehouse of nothing")
    await expect(page.get_by_text("Nothing is called like this")).to_be_visible()
    await page.get_by_label("Search for a database").fill("postgres")
    await page.get_by_role("button", name="PostgreSQL").click()

    # What is missing is said at the field, before anything is sent.
    await page.get_by_role("button", name="Test").click()
    await expect(page.get_by_label("Name *")).to_be_focused()
    await page.get_by_label("Name *").fill("Shop")
    form = page.locator("form.connection-form")
    for label, value in {
        "Host": warehouse.host,
        "Port": str(warehouse.port),
        "Database": warehouse.database,
        "User": warehouse.user,
        "Password": WRONG,
    }.items():
        await form.get_by_label(label).first.fill(value)
    await form.get_by_label("TLS").select_option("disable")
    await page.get_by_role("button", name="Test").click()
    alert = form.get_by_role("alert")
    await expect(alert).to_contain_text("The login was refused")
    await expect(alert).to_contain_text("authentication_failed")
    await form.get_by_label("Password").fill(warehouse.password)
    await page.get_by_role("button", name="Test").click()
    await expect(form.get_by_text("It works")).to_be_visible()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Shop")
    await expect(page.get_by_text("The connection is saved.")).to_be_visible()
    await expect(page.get_by_text("encrypted, never shown")).to_be_visible()

    # Tables, columns, rows.
    await page.get_by_role("tab", name="Browse").click()
    await page.get_by_role("button", name="orders").click()
    columns = page.get_by_role("region", name="Columns")
    await expect(columns.get_by_role("row").nth(1)).to_contain_text("key")
    await expect(columns.get_by_role("row").filter(has_text="paid")).to_contain_text("NOT NULL")
    rows = page.get_by_role("region", name="Preview")
    await expect(rows.locator(".null")).to_have_text("NULL")
    await rows.get_by_role("button", name="more").first.click()
    await expect(rows.get_by_role("button", name="less")).to_be_visible()

    # Queries read, and say why they do not.
    await page.get_by_role("tab", name="Query").click()
    await page.locator(".cm-content").fill("delete from shop.orders")
    await page.get_by_role("button", name="Run query").click()
    await expect(page.get_by_role("alert")).to_contain_text("query_not_read_only")
    await page.locator(".cm-content").fill("select count(*) as n from shop.orders")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("region", name="Result")).to_contain_text("3")

    # A change is tried with the secret that is kept, and refused if somebody was faster.
    await page.get_by_role("tab", name="Edit").click()
    await form.get_by_label("Description").fill("What the shop sells")
    await page.get_by_role("button", name="Test").click()
    await expect(form.get_by_text("It works")).to_be_visible()
    connection_id = int(page.url.rpartition("/")[2].partition("?")[0])
    actor = await owner(email)
    async with get_session(actor.scope) as session:
        await ConnectionService(session, actor).update(connection_id, description="Faster")
    await page.get_by_role("button", name="Save").click()
    await expect(form.get_by_role("alert")).to_contain_text("Somebody else changed")
    await page.get_by_role("button", name="Load it anew").click()
    await expect(form.get_by_label("Description")).to_have_value("Faster")
    await form.get_by_label("Description").fill("What the shop sells")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The change is saved.")).to_be_visible()
    await expect(page.get_by_text("What the shop sells")).to_be_visible()

    # Another credential: the old one is known to nobody.
    warehouse.query(f"ALTER ROLE {warehouse.user} PASSWORD '{NEW}'")
    await page.get_by_role("tab", name="Rotate credential").click()
    await form.get_by_label("Password").fill(NEW)
    await page.get_by_role("button", name="Replace the credential").click()
    overview = page.get_by_role("tab", name="Overview")
    await expect(overview).to_have_attribute("aria-selected", "true")
    # What was saved is tested by itself.
    await expect(page.get_by_text("It works")).to_be_visible()
    await expect(page.locator(".tested.ok")).to_be_visible()
    await expect(page.get_by_text("connection.updated").first).to_be_visible()

    # In use it cannot be deleted; a copy can.
    model = TransformationSpec(name="stg_orders", destination_id=connection_id, sql="select 1 as n")
    async with get_session(actor.scope) as session:
        await TransformationService(session, actor).create(model)
    await page.reload()
    await expect(page.get_by_role("link", name="stg_orders")).to_be_visible()
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("dialog")).to_contain_text("stg_orders")
    await page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    await page.get_by_role("button", name="Copy").click()
    await page.get_by_role("dialog").get_by_label("Name").fill("Shop copy")
    await page.get_by_role("dialog").get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Shop copy")
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    row = page.get_by_role("row").filter(has_text="Shop")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text("Works")
    await expect(row).to_contain_text("Destination")

    # No secret ever came to the page.
    everything = "\n".join(told) + await page.content()
    for secret in (warehouse.password, NEW, WRONG):
        assert secret not in everything

    # A viewer sees all of this, and nothing to press.
    viewer = await add_member(actor.org_id, Role.VIEWER)
    await change(
        viewer.user_id, password_hash=hash_password(PASSWORD), email_verified_at=func.now()
    )
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await log_in(page, working, viewer.email)
    await page.goto(f"{working.url}/connections/{connection_id}?tab=edit")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Shop")
    await expect(page.get_by_role("tab")).to_have_count(1)
    await expect(page.locator("form")).to_have_count(0)
    for name in ("Delete", "Copy", "Test"):
        await expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    await page.get_by_role("link", name="Connections", exact=True).first.click()
    await expect(page.get_by_role("link", name="Shop", exact=True)).to_be_visible()
    await expect(page.get_by_role("link", name="New connection")).to_have_count(0)


async def owner(email: str) -> Actor:
    """Who signed up with ``email``, in the organisation that they own."""
    async with get_session(SYSTEM) as session:
        query = select(Membership.user_id, Membership.org_id).join(User).where(User.email == email)
        user_id, org_id = (await session.execute(query)).one()
        return await prove_membership(session, user_id, org_id)


async def test_files_are_uploaded_looked_into_and_deleted(
    page: Page, working: Web, tmp_path: Path
) -> None:
    await page.goto(f"{working.url}/sign-up?error=registration_closed")
    await expect(page.get_by_role("alert")).to_contain_text("by invitation")
    ada = await stories.register(stories.new_email(), "Files Ltd")
    await log_in(page, working, ada.email)
    await page.goto(f"{working.url}/connections/files")
    await expect(page.get_by_text("No files yet")).to_be_visible()
    packed = tmp_path / "more.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("folder/planes.csv", "tail,seats\nN1,149\n")
    orders = tmp_path / "my orders.csv"
    orders.write_text("id;at;amount\n1;2026-03-01;10.50\n2;2026-03-02;\n", "utf-8")
    bad = tmp_path / "picture.parquet"
    bad.write_bytes(b"no parquet at all")
    chooser = page.get_by_label("Choose files").and_(page.locator("input"))
    await chooser.set_input_files([orders, packed, bad])
    # Names are made such that the platform takes them; what is not taken says why.
    await expect(page.get_by_role("row").filter(has_text="my_orders.csv")).to_be_visible()
    await expect(page.get_by_role("row").filter(has_text="planes.csv")).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("file_content_invalid")
    await page.get_by_role("button", name="Preview: my_orders.csv").click()
    shown = page.get_by_role("region", name="my_orders.csv").last
    await expect(shown).to_be_visible()
    await page.get_by_label("Delimiter").select_option(";")
    await expect(page.get_by_role("columnheader").filter(has_text="amount")).to_be_visible()
    await expect(page.get_by_role("columnheader", name="at DATE")).to_be_visible()
    # The same name with another content takes a decision.
    orders.write_text("id;at;amount\n3;2026-03-03;1\n", "utf-8")
    await chooser.set_input_files([orders])
    await page.get_by_role("button", name="Replace the old one").click()
    await expect(page.get_by_role("button", name="Replace the old one")).to_have_count(0)
    await page.get_by_role("button", name="Delete: planes.csv").click()
    await page.get_by_role("alert").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("row").filter(has_text="planes.csv")).to_have_count(0)
    await expect(page.get_by_text("The file was deleted.")).to_be_visible()

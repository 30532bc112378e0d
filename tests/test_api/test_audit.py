"""The audit log as a file, and the proof that it is whole."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import pytest

from datanika.contracts.enums import Role
from datanika.db import get_session
from datanika.services import paging
from datanika.services.audit_service import record
from tests.support.superuser import superuser
from tests.support.tenants import Tenant, add_member, make_tenant
from tests.test_api.conftest import Connect

EXPORT = "/api/v1/audit/export"


async def write(tenant: Tenant, *names: str) -> None:
    for name in names:
        async with get_session(tenant.owner.scope) as session:
            new = {"name": name, "password": "canary"}
            await record(session, tenant.owner, f"{name}.done", "thing", 1, new=new)


async def test_json_lines_hold_every_entry_once_in_order_and_no_secret(
    api: httpx.AsyncClient, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datanika.api.audit.MAX_LIMIT", 2)
    await write(await make_tenant(), "foreign")
    await write(tenant, *"abcde")
    answer = await api.get(EXPORT)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "audit.jsonl" in answer.headers["content-disposition"]
    entries = [json.loads(line) for line in answer.text.splitlines()]
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry["new"]["name"] for entry in entries] == [*"abcde"]
    # The chain can be followed elsewhere.
    for before, after in zip(entries, entries[1:], strict=False):
        assert after["prev_hash"] == before["row_hash"]
    assert "canary" not in answer.text
    assert paging.MAX_LIMIT > 2


async def test_a_table_never_holds_a_formula(api: httpx.AsyncClient, tenant: Tenant) -> None:
    await write(tenant, "=HYPERLINK", "+1", "-1", "@SUM", "\tx", 'quoted",=1')
    answer = await api.get(f"{EXPORT}?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0][:3] == ["id", "seq", "at"] and len(rows) == 7
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert rows[1][5] == "'=HYPERLINK.done"


async def test_an_export_is_what_the_filters_leave(api: httpx.AsyncClient, tenant: Tenant) -> None:
    await write(tenant, "a", "b")
    found = (await api.get(f"{EXPORT}?action=b.done")).text.splitlines()
    assert [json.loads(line)["action"] for line in found] == ["b.done"]
    nothing = await api.get(f"{EXPORT}?format=csv&before=2020-01-01T00:00:00Z")
    assert len(nothing.text.splitlines()) == 1
    assert (await api.get(f"{EXPORT}?format=xml")).status_code == 422


async def test_a_whole_log_verifies_and_a_changed_one_names_its_first_bad_entry(
    api: httpx.AsyncClient, tenant: Tenant, postgres_server: Any
) -> None:
    await write(tenant, "a", "b", "c")
    whole = (await api.get("/api/v1/audit/verify")).json()
    assert whole == {"is_whole": True, "entries": 3, "first_bad_id": None}
    ids = [item["id"] for item in (await api.get("/api/v1/audit?sort=id")).json()["items"]]
    with superuser(postgres_server.admin_url) as sql:
        sql.execute("UPDATE audit_log SET actor = 'x' WHERE id = %s", (ids[1],))
    broken = (await api.get("/api/v1/audit/verify")).json()
    assert broken == {"is_whole": False, "entries": 3, "first_bad_id": ids[1]}


async def test_editors_neither_export_nor_verify(connect: Connect, tenant: Tenant) -> None:
    editor = connect(await add_member(tenant.org_id, Role.EDITOR))
    for path in ("export", "verify"):
        assert (await editor.get(f"/api/v1/audit/{path}")).status_code == 403

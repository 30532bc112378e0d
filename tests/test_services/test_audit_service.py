"""The audit log: what it keeps, and that tampering shows."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from sqlalchemy import func, select, text

from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import PermissionDenied
from datanika.models import AuditLog
from datanika.services.audit_service import AuditService, SystemActor, masked, record, verify
from tests.support.paging import pages
from tests.support.superuser import superuser
from tests.support.tenants import Tenant, add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def write(tenant: Tenant, count: int = 5) -> list[int]:
    """Ids of ``count`` entries."""
    async with get_session(tenant.owner.scope) as session:
        entries = [
            await record(session, tenant.owner, "thing.changed", "thing", number, new={"n": number})
            for number in range(count)
        ]
        return [entry.id for entry in entries]


async def first_bad(tenant: Tenant) -> int | None:
    async with get_session(tenant.owner.scope) as session:
        return await verify(session, tenant.org_id)


async def test_an_untouched_chain_verifies() -> None:
    tenant = await make_tenant()
    assert await first_bad(tenant) is None
    await write(tenant)
    assert await first_bad(tenant) is None


async def test_an_entry_goes_with_the_change_it_is_about() -> None:
    tenant = await make_tenant()
    with pytest.raises(ZeroDivisionError):
        async with get_session(tenant.owner.scope) as session:
            await record(session, tenant.owner, "thing.changed", "thing", 1)
            raise ZeroDivisionError
    async with get_session(SYSTEM) as session:
        assert await session.scalar(select(func.count(AuditLog.id))) == 0
    assert await first_bad(tenant) is None


ODD_VALUES = {
    "float": 0.1,
    "big": 1e300,
    "integral": 1e16,
    "negative zero": -0.0,
    "not a number": float("nan"),
    "int": 2**70,
    "text": "ä 💥 \u2028",
    "nul": "a\0b",
    "surrogate": "\ud800",
    "time": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "tuple": (1, {"x": None}),
    "role": Role.ADMIN,
    3: True,
}


async def test_odd_values_do_not_break_the_chain() -> None:
    tenant = await make_tenant()
    async with get_session(tenant.owner.scope) as session:
        await record(session, tenant.owner, "a", "b", None, old=ODD_VALUES, new={})
        await record(session, SystemActor(tenant.org_id), "a", "b", 2**40, new=ODD_VALUES)
    assert await first_bad(tenant) is None


async def test_parallel_writers_make_one_chain_per_organisation() -> None:
    tenants = [await make_tenant(), await make_tenant()]
    await asyncio.gather(*(write(tenant, 3) for tenant in tenants * 8))
    for tenant in tenants:
        assert await first_bad(tenant) is None
        async with get_session(tenant.owner.scope) as session:
            assert [*await session.scalars(select(AuditLog.seq).order_by(AuditLog.id))] == [
                *range(1, 25)
            ]


async def test_verifying_beside_writers_raises_no_false_alarm() -> None:
    tenant = await make_tenant()
    writers = asyncio.gather(*(write(tenant, 2) for _ in range(20)))
    while not writers.done():
        assert await first_bad(tenant) is None
    await writers
    assert await first_bad(tenant) is None


async def test_a_long_chain_is_read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datanika.services.audit_service._VERIFY_BATCH", 2)
    tenant = await make_tenant()
    await write(tenant)
    assert await first_bad(tenant) is None


TAMPERING = {
    "edit": ("UPDATE audit_log SET new = '{{\"n\": 99}}' WHERE id = {0[2]}", 2),
    "rename": ("UPDATE audit_log SET actor = 'somebody else' WHERE id = {0[1]}", 1),
    "backdate": ("UPDATE audit_log SET at = at - interval '1 second' WHERE id = {0[3]}", 3),
    "delete": ("DELETE FROM audit_log WHERE id = {0[2]}", 3),
    "delete the first": ("DELETE FROM audit_log WHERE id = {0[0]}", 1),
    "cut off the end": ("DELETE FROM audit_log WHERE id IN ({0[3]}, {0[4]})", 2),
    "reorder": (
        "UPDATE audit_log SET seq = -seq WHERE id IN ({0[1]}, {0[2]});"
        "UPDATE audit_log SET seq = 3 WHERE id = {0[1]};"
        "UPDATE audit_log SET seq = 2 WHERE id = {0[2]}",
        2,
    ),
    "insert": (
        "INSERT INTO audit_log (org_id, seq, at, actor, action, resource_type, prev_hash, row_hash)"
        " SELECT org_id, seq + 1, at, actor, action, resource_type, row_hash, row_hash"
        " FROM audit_log WHERE id = {0[4]}",
        None,
    ),
}


@pytest.mark.parametrize("case", TAMPERING)
async def test_tampering_as_superuser_names_the_first_bad_entry(
    case: str, postgres_server: Any
) -> None:
    tenant, neighbour = await make_tenant(), await make_tenant()
    ids = await write(tenant)
    await write(neighbour)
    statement, index = TAMPERING[case]
    with superuser(postgres_server.admin_url) as sql:
        sql.execute(statement.format(ids))
        sql.execute("SELECT max(id) FROM audit_log")
        last = sql.fetchone()[0]
    assert await first_bad(tenant) == (last if index is None else ids[index])
    assert await first_bad(neighbour) is None


async def test_an_emptied_log_does_not_verify(postgres_server: Any) -> None:
    tenant = await make_tenant()
    await write(tenant)
    with superuser(postgres_server.admin_url) as sql:
        sql.execute("DELETE FROM audit_log")
    assert await first_bad(tenant) == 0


async def test_secrets_are_masked_wherever_they_are() -> None:
    value = {
        "password": "canary", "nested": [{"API_KEY": "canary", "aws_secret_access_key": "canary"}],
        "refresh_token": {"deep": "canary"}, "primary_key": "id", "token": "", "name": "n",
    }  # fmt: skip
    result = masked(value)
    assert "canary" not in str(result)
    assert result["primary_key"] == "id" and result["token"] == "" and result["name"] == "n"
    tenant = await make_tenant()
    async with get_session(tenant.owner.scope) as session:
        await record(session, tenant.owner, "a", "b", None, old=value, new=value)
        rows = (await session.execute(text("SELECT audit_log::text FROM audit_log"))).all()
    assert "canary" not in str(rows)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgresql://loader:canary@db.example.com/w", "db.example.com"),
        ("https://api.example.com/v1?page=2&api_key=canary&x=1", "page=2"),
        ("https://x.example.com/?X-Amz-Signature=canary", "x.example.com"),
        ("https://hooks.slack.com/services/T0/B0/canary", "hooks.slack.com"),
        ("https://discord.com/api/webhooks/1/canary", "discord.com"),
        ("https://api.telegram.org/bot1:canary/sendMessage", "api.telegram.org"),
        ("Bearer canary-canary", "Bearer"),
        ("dnk_canarycanarycanary", ""),
        (".".join(["ey" + "Jcanary01234"] * 3), ""),
        ("-----BEGIN RSA PRIVATE" + " KEY-----\ncanary\n", ""),
    ],
)
def test_what_looks_like_a_secret_is_masked_under_any_name(text: str, kept: str) -> None:
    result = str(masked({"config": {"base": [text]}}))
    assert "canary" not in result and kept in result


@pytest.mark.parametrize("name", ["pwd", "Authorization", "set-cookie", "webhook_url", "my_dsn"])
def test_secrets_go_by_many_names(name: str) -> None:
    assert masked({name: "canary"}) == {name: "***"}


@pytest.mark.parametrize(
    "text",
    [
        "https://api.example.com/v1/orders?page=2&sort=key",
        "mailto:ada@example.com",
        "at 10:30, ask ada@example.com",
        "a basic plan",
        "path/to/patterns",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert masked({"pattern": text, "compatible": text}) == {"pattern": text, "compatible": text}


async def test_only_admins_and_owners_read_the_log_and_only_their_own() -> None:
    tenant, neighbour = await make_tenant(), await make_tenant()
    ids = await write(tenant)
    await write(neighbour)
    async with get_session(tenant.owner.scope) as session:
        service = AuditService(session, tenant.owner)
        assert [entry.id for entry in await pages(service.list, limit=2, sort="-id")] == ids[::-1]
        found = await service.list(resource_type="thing", resource_id=1)
        assert [entry.id for entry in found.rows] == [ids[1]]
        editor = await add_member(tenant.org_id, Role.EDITOR)
        with pytest.raises(PermissionDenied):
            await AuditService(session, editor).list()

"""Cursors: pages follow each other in every order, and what is no cursor is refused."""

from __future__ import annotations

import base64
import json

import pytest

from datanika.db import get_session
from datanika.errors import InvalidInput
from datanika.services.connection_service import ConnectionService
from datanika.services.paging import PageRequest, RowPage
from tests.support.paging import pages
from tests.support.tenants import Tenant, make_tenant

pytestmark = pytest.mark.usefixtures("database")
NAMES = ["b", "a", "B", "c", "aa", "ä", "z"]


@pytest.fixture
async def tenant(database: str) -> Tenant:
    tenant = await make_tenant()
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        for number, name in enumerate(NAMES):
            await service.create(name, "files", {"format": "csv"}, str(number % 2))
    return tenant


async def read(tenant: Tenant, request: PageRequest) -> RowPage[object]:
    async with get_session(tenant.owner.scope) as session:
        return await ConnectionService(session, tenant.owner).list(request)


@pytest.mark.parametrize("sort", ["id", "name", "kind", "created_at", "updated_at"])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
async def test_pages_have_every_row_once_in_both_directions(
    tenant: Tenant, sort: str, limit: int
) -> None:
    """All rows were made in one transaction and have one kind: ties are broken by the id."""
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        up = [row.id for row in await pages(service.list, limit, sort)]
        down = [row.id for row in await pages(service.list, limit, f"-{sort}")]
    assert sorted(up) == sorted(set(up)) and len(up) == len(NAMES)
    assert down == up[::-1]


def made_of(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "%%%",
        "ä",
        made_of(),
        made_of("id"),
        made_of("id", "1"),
        made_of("id", True),
        made_of("id", -1),
        made_of("id", 2**63),
        made_of("id", 1, 2),
        made_of("-id", 1),
        made_of("name", "a", 1),
        base64.urlsafe_b64encode(b"5").decode(),
        base64.urlsafe_b64encode(b"[" * 10_000).decode(),
    ],
)
async def test_what_is_no_cursor_of_this_list_is_refused(tenant: Tenant, cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await read(tenant, PageRequest(cursor=cursor))
    assert (refused.value.code, refused.value.field) == ("cursor_invalid", "cursor")


@pytest.mark.parametrize(
    ("sort", "value"),
    [("created_at", "2026-01-01"), ("created_at", "yesterday"), ("created_at", 5), ("name", "a\0")],
)
async def test_a_cursors_value_must_be_of_the_columns_type(
    tenant: Tenant, sort: str, value: object
) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        await read(tenant, PageRequest(cursor=made_of(sort, value, 1), sort=sort))


async def test_an_unknown_order_is_refused_with_the_known_ones(tenant: Tenant) -> None:
    for sort in ("secrets", "", "-", "--id", "name "):
        with pytest.raises(InvalidInput) as refused:
            await read(tenant, PageRequest(sort=sort))
        assert refused.value.code == "sort_unknown" and "name" in (refused.value.hint or "")


async def test_a_part_of_a_name_is_taken_literally(tenant: Tenant) -> None:
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        await service.create("100%_done\\", "files", {"format": "csv"})
        for part, found in (("%", 1), ("_", 1), ("\\", 1), ("B", 2), ("\0", 8)):
            assert len((await service.list(search=part)).rows) == found, part

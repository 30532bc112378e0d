"""Transformations: guarded before they are stored, kept while something reads them."""

from __future__ import annotations

from typing import Any

import pytest

from datanika.contracts.enums import Role
from datanika.contracts.spec import TransformationSpec
from datanika.db import get_session
from datanika.errors import (
    Conflict,
    GuardRefused,
    InvalidInput,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
)
from datanika.models import Transformation
from datanika.services.connection_service import ConnectionService
from datanika.services.transformation_service import (
    TransformationService,
    load_transformation_specs,
)
from tests.support.tenants import Tenant, add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def destination(tenant: Tenant, name: str = "dwh", kind: str = "duckdb") -> int:
    config = {"duckdb": {"path": "w.duckdb"}, "files": {"format": "csv"}}[kind]
    async with get_session(tenant.owner.scope) as session:
        return (await ConnectionService(session, tenant.owner).create(name, kind, config)).id


def spec(
    destination_id: int, name: str = "stg", sql: str = "select 1 as a", **more: Any
) -> TransformationSpec:
    return TransformationSpec(name=name, destination_id=destination_id, sql=sql, **more)


async def create(tenant: Tenant, item: TransformationSpec) -> Transformation:
    async with get_session(tenant.owner.scope) as session:
        return await TransformationService(session, tenant.owner).create(item)


async def test_what_was_written_is_what_the_compiler_gets() -> None:
    tenant = await make_tenant()
    first, second = await destination(tenant), await destination(tenant, "other")
    items = [spec(first, "b", tags=("daily",)), spec(first, "a"), spec(second, "a")]
    for item in items:
        await create(tenant, item)
    async with get_session(tenant.owner.scope) as session:
        service = TransformationService(session, tenant.owner)
        assert await service.specs() == (items[1], items[0], items[2])
        assert await service.specs([second]) == (items[2],)
        assert await load_transformation_specs(session, tenant.org_id, [first]) == (
            items[1], items[0],
        )  # fmt: skip
        assert [row.name for row in (await service.list(destination_id=first)).rows] == ["b", "a"]


async def test_code_that_may_not_run_is_not_stored() -> None:
    tenant = await make_tenant()
    dwh = await destination(tenant)
    attack = spec(dwh, sql="select '{{ env_var(\"DATANIKA_SECRET_KEY\") }}'")
    with pytest.raises(GuardRefused):
        await create(tenant, attack)
    row = await create(tenant, spec(dwh))
    with pytest.raises(GuardRefused):
        async with get_session(tenant.owner.scope) as session:
            await TransformationService(session, tenant.owner).update(row.id, attack)
    async with get_session(tenant.owner.scope) as session:
        assert await load_transformation_specs(session, tenant.org_id) == (spec(dwh),)


async def test_a_model_may_read_one_that_comes_later_and_call_the_tenants_macros() -> None:
    tenant = await make_tenant()
    dwh = await destination(tenant)
    await create(tenant, spec(dwh, "mart", "select * from {{ ref('stg') }}"))
    macro = "{% macro cents(x) %}{{ x }} * 100{% endmacro %}"
    await create(tenant, spec(dwh, "cents", macro, kind="macro"))
    await create(tenant, spec(dwh, "stg", "select {{ cents('1') }} as a"))


@pytest.mark.parametrize(
    ("name", "readers"), [("stg", "mart"), ("cents", "stg")], ids=["model", "macro"]
)
async def test_what_others_read_cannot_be_deleted(name: str, readers: str) -> None:
    tenant = await make_tenant()
    dwh = await destination(tenant)
    macro = "{% macro cents(x) %}{{ x }} * 100{% endmacro %}"
    rows = {
        item.name: await create(tenant, item)
        for item in (
            spec(dwh, "cents", macro, kind="macro"),
            spec(dwh, "stg", "select {{ cents('1') }} as a"),
            spec(dwh, "mart", "select * from {{ ref('stg') }}"),
        )
    }
    with pytest.raises(Conflict, match=readers) as refused:
        async with get_session(tenant.owner.scope) as session:
            await TransformationService(session, tenant.owner).delete(rows[name].id)
    assert refused.value.code == "transformation_in_use"
    async with get_session(tenant.owner.scope) as session:
        service = TransformationService(session, tenant.owner)
        for last in ("mart", "stg", "cents"):
            await service.delete(rows[last].id)
        assert (await service.list()).rows == []


async def test_names_are_unique_at_a_destination() -> None:
    tenant = await make_tenant()
    first, second = await destination(tenant), await destination(tenant, "other")
    await create(tenant, spec(first))
    await create(tenant, spec(second))
    with pytest.raises(Conflict) as refused:
        await create(tenant, spec(first))
    assert refused.value.code == "name_taken"


async def test_the_destination_must_be_the_tenants_and_one_that_dbt_can_use() -> None:
    tenant, neighbour = await make_tenant(), await make_tenant()
    files, theirs = await destination(tenant, kind="files"), await destination(neighbour)
    for destination_id, code in (
        (files, "transform_not_supported"),
        (theirs, "connection_not_found"),
        (2**40, "connection_not_found"),
    ):
        with pytest.raises(InvalidInput) as refused:
            await create(tenant, spec(destination_id))
        assert (refused.value.code, refused.value.field) == (code, "destination_id")


async def test_updates_may_rename_and_check_the_revision() -> None:
    tenant = await make_tenant()
    dwh = await destination(tenant)
    row = await create(tenant, spec(dwh))
    async with get_session(tenant.owner.scope) as session:
        service = TransformationService(session, tenant.owner)
        changed = await service.update(row.id, spec(dwh, "renamed", "select 2 as a"), revision=1)
        assert (changed.name, changed.revision) == ("renamed", 2)
        assert (await service.get(row.id)).spec["sql"] == "select 2 as a"
        with pytest.raises(PreconditionFailed) as refused:
            await service.update(row.id, spec(dwh), revision=1)
        assert refused.value.code == "stale_revision"


async def test_other_organisations_and_lower_roles_are_kept_out() -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    dwh = await destination(theirs)
    row = await create(theirs, spec(dwh))
    async with get_session(ours.owner.scope) as session:
        service = TransformationService(session, ours.owner)
        with pytest.raises(NotFound):
            await service.get(row.id)
        with pytest.raises(NotFound):
            await service.delete(row.id)
        assert await service.specs() == ()
    viewer = await add_member(theirs.org_id, Role.VIEWER)
    async with get_session(viewer.scope) as session:
        service = TransformationService(session, viewer)
        assert (await service.get(row.id)).name == "stg"
        with pytest.raises(PermissionDenied):
            await service.update(row.id, spec(dwh))
        with pytest.raises(PermissionDenied):
            await service.delete(row.id)


async def test_every_version_is_kept_told_apart_and_can_come_back() -> None:
    tenant = await make_tenant()
    target = await destination(tenant)
    row = await create(tenant, spec(target, sql="select 1 as a\n-- one\n"))
    async with get_session(tenant.owner.scope) as session:
        service = TransformationService(session, tenant.owner)
        changed = spec(
            target, sql="select 1 as a\n-- two\n", materialization="table", tags=("daily",)
        )
        await service.update(row.id, changed)
        found = await service.diff(row.id, None, None)
        assert (found.from_version, found.to_version, found.is_same) == (1, 2, False)
        assert found.code == (
            "--- stg version 1\n+++ stg version 2\n@@ -1,2 +1,2 @@\n"
            " select 1 as a\n--- one\n+-- two\n"
        )
        assert (found.added_lines, found.removed_lines) == (1, 1)
        assert "+materialization: table\n" in found.metadata
        assert {one.name: (one.before, one.after) for one in found.fields} == {
            "materialization": ("view", "table"),
            "tags": ([], ["daily"]),
        }
        back = await service.diff(row.id, 2, 1)
        assert "+-- one\n" in back.code and "-materialization: table\n" in back.metadata

        restored = await service.restore(row.id, 1)
        assert (restored.revision, restored.spec["sql"]) == (3, "select 1 as a\n-- one\n")
        assert (await service.diff(row.id, 1, 3)).is_same
        assert (await service.diff(row.id, 1, 3)).code == ""
        versions = (await service.versions(row.id)).rows
        assert [one.number for one in versions] == [1, 2, 3]
        assert {one.created_by for one in versions} == {tenant.owner.user_id}
        with pytest.raises(NotFound) as caught:
            await service.restore(row.id, 9)
        assert caught.value.code == "transformation_version_not_found"

    viewer = await add_member(tenant.org_id, Role.VIEWER)
    async with get_session(viewer.scope) as session:
        service = TransformationService(session, viewer)
        assert (await service.diff(row.id, 1, 2)).added_lines == 1
        with pytest.raises(PermissionDenied):
            await service.restore(row.id, 1)
    other = (await make_tenant()).owner
    async with get_session(other.scope) as session:
        for ask in (
            TransformationService(session, other).diff(row.id, 1, 2),
            TransformationService(session, other).versions(row.id),
            TransformationService(session, other).restore(row.id, 1),
        ):
            with pytest.raises(NotFound):
                await ask

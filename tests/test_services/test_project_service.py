"""Projects come in whole or not at all, and go out again."""

from __future__ import annotations

import io
import zipfile

import pytest
from sqlalchemy import func, select

from datanika.compiler.importing.archive import read_archive, write_archive
from datanika.contracts.enums import Role
from datanika.contracts.spec import TransformationSpec
from datanika.db import get_session
from datanika.errors import InvalidInput, PermissionDenied
from datanika.models import AuditLog, Transformation
from datanika.services.connection_service import ConnectionService
from datanika.services.project_service import ImportChoice, ProjectService
from datanika.services.transformation_service import TransformationService
from tests.support.shop_project import FILES
from tests.support.tenants import Tenant, add_member, make_tenant

pytestmark = pytest.mark.usefixtures("database")
WRITE = ImportChoice(dry_run=False)
BATCHES = "models/marts/orders_in_batches.sql"
SHOP = FILES | {BATCHES: FILES[BATCHES].replace(", unique_key='order_id'", "")}


async def destination(tenant: Tenant) -> int:
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        return (await service.create("dwh", "duckdb", {"path": "w.duckdb"})).id


async def names(tenant: Tenant) -> set[str]:
    async with get_session(tenant.owner.scope) as session:
        return {spec.name for spec in await TransformationService(session, tenant.owner).specs()}


async def test_a_project_is_imported_whole_read_first_and_exported_again() -> None:
    tenant = await make_tenant()
    there = await destination(tenant)
    archive = write_archive({f"shop-main/{path}": text for path, text in SHOP.items()})
    async with get_session(tenant.owner.scope) as session:
        service = ProjectService(session, tenant.owner)
        report = await service.import_archive(there, archive, ImportChoice())
        assert not report.applied and not report.refused
        assert {item.action for item in report.items} == {"create"}
        assert await TransformationService(session, tenant.owner).specs() == ()
        report = await service.import_archive(there, archive, WRITE)
        assert report.applied
        exported = read_archive(await service.export(there, "shop"))
        again = await service.import_archive(there, archive, WRITE)
        assert {item.action for item in again.items} == {"unchanged"}
        offered = await service.completion(there)
        assert ("customers", ("customer_id", "n_orders", "total")) in {
            (relation.name, relation.columns) for relation in offered.refs
        }
        assert [(one.source, one.table, one.columns) for one in offered.sources] == [
            ("shop_raw", "clicks", ("id",))
        ]
        macros = {macro.name: macro.arguments for macro in offered.macros}
        assert macros["to_money"] == "column" and "dbt_utils.star" in macros
        assert {"is_positive", "dbt_utils.recency", "unique"} <= set(offered.tests)
        assert offered.variables == ("cents", "start_date")
        [count] = await session.scalars(
            select(func.count()).where(AuditLog.action == "transformation.created")
        )
    assert count == len(report.items) == len(await names(tenant))
    assert "models/customers.sql" in exported
    assert exported["models/stg_orders.sql"] == SHOP["models/staging/stg_orders.sql"]
    changed = {**SHOP, "models/staging/stg_orders.sql": "select 1 as order_id, 2 as amount"}
    async with get_session(tenant.owner.scope) as session:
        service = ProjectService(session, tenant.owner)
        report = await service.import_archive(there, write_archive(changed), ImportChoice())
        assert ("name_taken", "models/staging/stg_orders.sql") in {
            (one.code, one.path) for one in report.refused
        }
        report = await service.import_archive(
            there, write_archive(changed), ImportChoice(dry_run=False, replace=True)
        )
        [updated] = [item for item in report.items if item.action == "update"]
        assert (report.applied, updated.name) == (True, "stg_orders")
        row = await session.scalar(
            select(Transformation).where(Transformation.name == "stg_orders")
        )
        assert row is not None and row.revision == 2


async def test_a_refused_part_stops_the_import_unless_that_is_accepted() -> None:
    tenant = await make_tenant()
    there = await destination(tenant)
    archive = write_archive(
        {
            "dbt_project.yml": "name: shop\non-run-end: 'drop schema x'\n",
            "models/good.sql": "select 1 as a",
            "models/bad.sql": "\n\nselect '{{ env_var('HOME') }}' as a",
            "models/below.sql": "select * from {{ ref('bad') }}",
        }
    )
    async with get_session(tenant.owner.scope) as session:
        service = ProjectService(session, tenant.owner)
        with pytest.raises(InvalidInput) as refused:
            await service.import_archive(there, archive, WRITE)
        assert refused.value.code == "import_refused"
        report = await service.import_archive(there, archive, ImportChoice())
        assert [(one.code, one.path, one.line) for one in report.refused] == [
            ("hook_refused", "dbt_project.yml", None),
            ("guard_refused", "models/bad.sql", 3),
            ("unknown_ref", "models/below.sql", 1),
        ]
    assert await names(tenant) == set()
    async with get_session(tenant.owner.scope) as session:
        await ProjectService(session, tenant.owner).import_archive(
            there, archive, ImportChoice(dry_run=False, accept_refused=True)
        )
    assert await names(tenant) == {"good", "dbt_project"}


async def test_an_editor_may_not_and_another_organisations_destination_is_not_there() -> None:
    tenant, other = await make_tenant(), await make_tenant()
    there = await destination(tenant)
    editor = await add_member(tenant.org_id, Role.EDITOR)
    archive = write_archive({"dbt_project.yml": "name: shop\n"})
    async with get_session(editor.scope) as session:
        for call in (
            ProjectService(session, editor).import_archive(there, archive, WRITE),
            ProjectService(session, editor).export(there, "shop"),
        ):
            with pytest.raises(PermissionDenied):
                await call
    async with get_session(other.owner.scope) as session:
        with pytest.raises(InvalidInput) as missing:
            await ProjectService(session, other.owner).import_archive(there, archive, WRITE)
    assert missing.value.code == "connection_not_found"


async def test_what_the_adapter_cannot_do_is_refused_on_save() -> None:
    tenant = await make_tenant()
    there = await destination(tenant)
    async with get_session(tenant.owner.scope) as session:
        with pytest.raises(InvalidInput) as refused:
            await TransformationService(session, tenant.owner).create(
                TransformationSpec(
                    name="mv",
                    destination_id=there,
                    sql="select 1 as a",
                    materialization="materialized_view",
                )
            )
    assert refused.value.code == "materialization_not_supported"


def zipped(*members: tuple[str, bytes], link: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o120777 if link else 0o644) << 16
            archive.writestr(info, content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (b"no zip", "archive_invalid"),
        (zipped(("../evil.sql", b"x")), "archive_path_refused"),
        (zipped(("/etc/evil.sql", b"x")), "archive_path_refused"),
        (zipped(("models/../../evil.sql", b"x")), "archive_path_refused"),
        (zipped(("C:/evil.sql", b"x")), "archive_path_refused"),
        (zipped(("models/a.sql", b"/etc/passwd"), link=True), "archive_link_refused"),
        (zipped(("models/a.sql", b"0" * 2_000_000)), "archive_too_large"),
        (zipped(*((f"models/{n}.sql", b"0" * 999_999) for n in range(52))), "archive_too_large"),
        (zipped(*((f"{n}.sql", b"") for n in range(5_001))), "archive_too_large"),
        (zipped(("models/a.sql", b"\xff\xfe")), "archive_text_invalid"),
        (zipped(("models/a.sql", b"a\0b")), "archive_text_invalid"),
        (zipped(("models/a.sql", b"x"))[:-30], "archive_invalid"),
    ],
)
def test_an_archive_that_is_none_or_leads_out_is_refused(archive: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_archive(archive)
    assert refused.value.code == code

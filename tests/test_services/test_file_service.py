"""An organisation's files: kept, replaced, deleted, audited, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import (
    BodyTooLarge,
    Conflict,
    LimitReached,
    NotFound,
    PermissionDenied,
)
from datanika.models import AuditLog, Organization, UploadedFile
from datanika.services.actor import Actor
from datanika.services.file_service import FileService, upload
from datanika.services.usage_counter import store_storage
from tests.support.tenants import add_member, make_tenant
from tests.test_services.test_uploads import archive, chunks


@pytest.fixture
async def actor(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Actor:
    monkeypatch.setattr(settings, "home", tmp_path)
    return (await make_tenant()).owner


def stored(actor: Actor) -> dict[str, bytes]:
    folder = settings.org_root(actor.org_id) / "files"
    return {path.name: path.read_bytes() for path in folder.glob("*")}


async def test_a_file_is_kept_audited_and_deleted(actor: Actor) -> None:
    [file] = await upload(actor, "a.csv", chunks(b"id\n1\n"))
    assert stored(actor) == {"a.csv": b"id\n1\n"}
    assert list((settings.org_root(actor.org_id) / "uploads").iterdir()) == []
    async with get_session(actor.scope) as session:
        service = FileService(session, actor)
        assert [one.name for one in (await service.list()).rows] == ["a.csv"]
        assert (await service.get(file.id)).bytes == 5
        await service.delete(file.id)
    assert stored(actor) == {}
    async with get_session(SYSTEM) as session:
        actions = (
            await session.scalars(
                select(AuditLog.action)
                .where(AuditLog.resource_type == "file")
                .order_by(AuditLog.id)
            )
        ).all()
    assert actions == ["file.uploaded", "file.deleted"]


async def test_another_content_needs_to_be_told_to_replace(actor: Actor) -> None:
    [first] = await upload(actor, "a.csv", chunks(b"one"))
    [again] = await upload(actor, "a.csv", chunks(b"one"))
    assert again.id == first.id
    with pytest.raises(Conflict) as caught:
        await upload(actor, "a.csv", chunks(b"two"))
    assert caught.value.code == "file_exists"
    assert stored(actor) == {"a.csv": b"one"}
    [replaced] = await upload(actor, "a.csv", chunks(b"two"), replace=True)
    assert (replaced.id, stored(actor)) == (first.id, {"a.csv": b"two"})


async def test_an_archive_is_kept_whole_or_not_at_all(actor: Actor) -> None:
    await upload(actor, "b.csv", chunks(b"old"))
    packed = archive(("a.csv", b"1"), ("b.csv", b"2"))
    with pytest.raises(Conflict):
        await upload(actor, "x.zip", chunks(packed))
    async with get_session(actor.scope) as session:
        assert [row.name for row in (await FileService(session, actor).list()).rows] == ["b.csv"]
    assert stored(actor) == {"b.csv": b"old"}
    await upload(actor, "x.zip", chunks(packed), replace=True)
    assert stored(actor) == {"a.csv": b"1", "b.csv": b"2"}


async def test_the_organisations_storage_is_a_limit_while_it_streams(actor: Actor) -> None:
    async with get_session(SYSTEM) as session:
        (await session.get_one(Organization, actor.org_id)).max_storage_bytes = 1500
        await store_storage(session, actor.org_id, 1000)
    with pytest.raises(BodyTooLarge):
        await upload(actor, "a.csv", chunks(b"1" * 600))
    await upload(actor, "a.csv", chunks(b"1" * 400))
    async with get_session(SYSTEM) as session:
        await store_storage(session, actor.org_id, 1500)
    with pytest.raises(LimitReached):
        await upload(actor, "b.csv", chunks(b"1"))


async def test_nobody_reaches_another_organisations_files(actor: Actor) -> None:
    [file] = await upload(actor, "a.csv", chunks(b"ours"))
    other = (await make_tenant()).owner
    async with get_session(other.scope) as session:
        service = FileService(session, other)
        assert (await service.list()).rows == []
        for ask in (service.get, service.delete):
            with pytest.raises(NotFound):
                await ask(file.id)
    await upload(other, "a.csv", chunks(b"theirs"))
    assert (stored(actor), stored(other)) == ({"a.csv": b"ours"}, {"a.csv": b"theirs"})


async def test_a_viewer_may_not_upload(actor: Actor) -> None:
    viewer = await add_member(actor.org_id, Role.VIEWER)
    with pytest.raises(PermissionDenied):
        await upload(viewer, "a.csv", chunks(b"1"))
    async with get_session(SYSTEM) as session:
        assert (await session.scalars(select(UploadedFile))).all() == []

"""What may be uploaded, and that no byte of it lands where it should not."""

from __future__ import annotations

import asyncio
import gzip
import io
import stat
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from datanika.config import settings
from datanika.db import SYSTEM, get_session
from datanika.errors import (
    BodyTooLarge,
    Conflict,
    DatanikaError,
    LimitReached,
    NotFound,
    PermissionDenied,
)
from datanika.models import AuditLog, Organization, UploadedFile
from datanika.services.actor import Actor
from datanika.services.file_service import FileService, upload
from datanika.services.uploads import check_name, receive
from datanika.services.usage_counter import store_storage
from tests.support.tenants import make_tenant


async def chunks(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def unpack(folder: Path, name: str, content: bytes, limit: int = 10**9) -> dict[str, bytes]:
    """What ``receive`` gives, by name; raises what it raises."""
    folder.mkdir(exist_ok=True)
    received = asyncio.run(receive(name, chunks(content), folder, limit, limit))
    return {one.name: one.path.read_bytes() for one in received}


def refusal(folder: Path, name: str, content: bytes, limit: int = 10**9) -> str:
    with pytest.raises(DatanikaError) as caught:
        unpack(folder, name, content, limit)
    return caught.value.code


def archive(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members:
            out.writestr(name, content)
    return packed.getvalue()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": [1]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("A.TSV", "csv"), ("a.jsonl.gz", "jsonl"), ("a.b.parquet", "parquet"),
     ("x.zip", "zip"), ("a.ndjson", "jsonl")],
)  # fmt: skip
def test_a_name_says_what_it_is(name: str, kind: str) -> None:
    assert check_name(name) == kind


@pytest.mark.parametrize(
    "name",
    ["../a.csv", "a/b.csv", "..csv", ".hidden.csv", "a\0.csv", "a.exe", "csv", ".csv", "a.csv.zst",
     "a.parquet.gz", "a..csv", "-a.csv", "a b.csv", "ä.csv", "a.csv\n", "a" * 200 + ".csv", "a.gz",
     "gz", ""],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(DatanikaError) as caught:
        check_name(name)
    assert caught.value.code in ("file_name_invalid", "file_format_unknown")


def test_files_arrive_as_they_are(tmp_path: Path) -> None:
    for name, content in {
        "a.csv": b"id\n" + b"1\n" * 5000,
        "a.csv.gz": gzip.compress(b"id\n1\n") + gzip.compress(b"2\n"),
        "a.parquet": parquet(),
    }.items():
        assert unpack(tmp_path, name, content) == {name: content}


def test_an_archive_becomes_its_files_by_their_last_names(tmp_path: Path) -> None:
    packed = archive(
        ("folder/", b""),
        ("folder/a.csv", b"id\n1\n"),
        ("../../../etc/b.jsonl", b"{}"),
        ("/c.parquet", parquet()),
        ("win\\d.csv", b"id\n"),
        ("__MACOSX/._a.csv", b"junk"),
    )
    place = tmp_path / "place"
    found = unpack(place, "x.zip", packed)
    assert set(found) == {"a.csv", "b.jsonl", "c.parquet", "d.csv"}
    assert found["b.jsonl"] == b"{}"
    # Nothing outside of the place, and no archive in it.
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {place}
    assert not (place / "upload").exists()


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("a.csv")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([(link(), b"/etc/passwd")], "archive_member_unusable"),
        ([("b.zip", b"PK")], "archive_member_unusable"),
        ([("x/a.csv", b"1"), ("y/a.csv", b"2")], "archive_member_unusable"),
        ([("run.sh", b"1")], "file_format_unknown"),
        ([("..", b"1")], "file_name_invalid"),
        ([("a.csv", b"")], "file_empty"),
        ([("folder/", b"")], "archive_members"),
        ([(f"{n}.csv", b"1") for n in range(1001)], "archive_members"),
        ([("a.parquet", b"no")], "file_content_invalid"),
    ],
)
def test_an_archive_with_anything_else_is_refused(
    tmp_path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]], code: str
) -> None:
    assert refusal(tmp_path, "x.zip", archive(*members)) == code


def lying_archive() -> bytes:
    """It says that it holds ten bytes, and holds many."""
    packed = archive(("a.csv", b"0" * 30_000_000))
    real = (30_000_000).to_bytes(4, "little")
    return packed.replace(real, (10).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("name", "content", "codes"),
    [
        ("a.csv.gz", gzip.compress(b"0" * 30_000_000), {"file_unpacks_too_large"}),
        ("x.zip", archive(("a.csv", b"0" * 30_000_000)), {"file_unpacks_too_large"}),
        (
            "x.zip",
            archive(*((f"{n}.csv", b"0" * 9_000_000) for n in range(3))),
            {"file_unpacks_too_large"},
        ),
        ("x.zip", lying_archive(), {"file_unpacks_too_large", "file_content_invalid"}),
        ("x.zip", archive(("a.csv.gz", gzip.compress(b"0" * 30_000_000))),
         {"file_unpacks_too_large"}),
    ],
    ids=["gzip", "zip", "many", "lying", "nested"],
)  # fmt: skip
def test_a_bomb_is_refused_before_it_fills_the_disk(
    tmp_path: Path, name: str, content: bytes, codes: set[str]
) -> None:
    assert refusal(tmp_path, name, content) in codes
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert written < 20_000_000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", b"no gzip"),
        ("a.csv.gz", gzip.compress(b"id\n1\n" * 1000)[:-9]),
        ("a.parquet", b"PAR1 and no end"),
        ("a.csv", gzip.compress(b"id\n")),
        ("a.csv", archive(("a.csv", b"1"))),
        ("a.zip", b"PK\x03\x04 and nothing"),
        ("a.zip", archive(("a.csv", b"1" * 100))[:-30]),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    assert refusal(tmp_path, name, content) == "file_content_invalid"


def test_an_upload_that_is_too_long_ends_when_it_is(tmp_path: Path) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1000
            yield b"1" * 1000

    with pytest.raises(BodyTooLarge):
        asyncio.run(receive("a.csv", endless(), tmp_path, 10_000, 10**9))
    assert read == 11_000


# -- with an organisation -------------------------------------------------------------------------


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
    from datanika.contracts.enums import Role
    from tests.support.tenants import add_member

    viewer = await add_member(actor.org_id, Role.VIEWER)
    with pytest.raises(PermissionDenied):
        await upload(viewer, "a.csv", chunks(b"1"))
    async with get_session(SYSTEM) as session:
        assert (await session.scalars(select(UploadedFile))).all() == []

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

from datanika.errors import (
    BodyTooLarge,
    DatanikaError,
)
from datanika.services.uploads import check_name, receive


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
     ("x.zip", "zip"), ("a.ndjson", "jsonl"), ("a.xlsx", "excel"), ("shop.db", "sqlite")],
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
    ids=["no gzip", "half a gzip", "half a parquet", "gzip", "zip", "no zip", "half a zip"],
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


def test_workbooks_and_databases_are_what_they_say(tmp_path: Path) -> None:
    import sqlite3

    file = tmp_path / "shop.sqlite"
    with sqlite3.connect(file) as opened:
        opened.execute("CREATE TABLE t (id int)")
    assert list(unpack(tmp_path / "a", "shop.sqlite", file.read_bytes())) == ["shop.sqlite"]
    book = archive(("xl/workbook.xml", b"<workbook/>"))
    assert list(unpack(tmp_path / "b", "book.xlsx", book)) == ["book.xlsx"]
    assert refusal(tmp_path / "c", "shop.sqlite", b"no database") == "file_content_invalid"
    assert refusal(tmp_path / "d", "book.xlsx", b"no workbook") == "file_content_invalid"
    assert refusal(tmp_path / "e", "book.xlsx", archive(("a.txt", b"x"))) == "file_content_invalid"
    bomb = archive(("xl/workbook.xml", b"x"), ("xl/s.xml", bytes(11_000_000)))
    assert refusal(tmp_path / "f", "book.xlsx", bomb) == "file_unpacks_too_large"
    assert refusal(tmp_path / "g", "shop.db.gz", b"x") == "file_format_unknown"

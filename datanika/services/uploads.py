"""What is uploaded, on its way to the disk: counted while it comes, looked into before it is kept.

An archive is taken apart here, so nobody reads one later: its members become files, by their last
name only, and no byte is written beyond the limits, whatever sizes the archive claims.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from datanika.errors import BodyTooLarge, InvalidInput

FORMATS = {
    "csv": "csv", "tsv": "csv", "txt": "csv",
    "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl",
    "parquet": "parquet",
    "xlsx": "excel",
    "sqlite": "sqlite", "sqlite3": "sqlite", "db": "sqlite",
}  # fmt: skip
"""By the end of a file's name; the format of the connection that reads it, ``sqlite`` for a file
that is a connection of its own."""
PACKED = ("csv", "jsonl")
"""What may be uploaded as .gz."""
MAX_MEMBERS = 1000
MAX_RATIO = 200
"""Bytes out of a packed file for each byte in it. Text packs at 5 to 20, bombs at 1,000."""
FREE_BYTES = 10_000_000
"""So much may come out of any file, however well it packs."""
BLOCK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}", re.ASCII)


@dataclass(frozen=True)
class Received:
    """A file that is in ``path`` and not in its place yet."""

    name: str
    format: str
    bytes: int
    sha256: str
    path: Path


def check_name(name: str) -> str:
    """The format of a file called ``name``; ``zip`` for an archive.

    Raises :class:`InvalidInput` ``file_name_invalid`` or ``file_format_unknown``.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidInput(
            f"A file cannot be called {name[:100]!r}.",
            code="file_name_invalid",
            field="name",
            hint="Use letters, digits, dots, dashes and underscores, without folders.",
        )
    parts = name.lower().split(".")
    ending = parts.pop()
    if ending == "zip":
        return "zip"
    if ending == "gz":
        ending = parts.pop() if parts else ""
        if FORMATS.get(ending) not in PACKED:
            ending = ""
    if len(parts) == 0 or ending not in FORMATS:
        raise InvalidInput(
            f"{name!r} is of no kind that can be loaded.",
            code="file_format_unknown",
            field="name",
            hint="Names end in .csv, .tsv, .jsonl, .parquet, .xlsx or .sqlite; the first three may "
            "be followed by .gz, and a .zip may hold all of them.",
        )
    return FORMATS[ending]


async def receive(
    name: str, chunks: AsyncIterator[bytes], place: Path, limit: int, unpacked_limit: int
) -> list[Received]:
    """Write what comes into ``place``, an empty folder, and look into it.

    ``limit`` bytes may come, and ``unpacked_limit`` may come out of them. Raises
    :class:`BodyTooLarge` and :class:`InvalidInput` as soon as it is known.
    """
    kind = check_name(name)
    path, digest, size = place / "upload", hashlib.sha256(), 0
    with path.open("wb") as out:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(
                    f"The file is longer than {limit:,} bytes.",
                    code="file_too_large",
                    hint="Pack it with gzip, split it, or ask for more storage.",
                )
            digest.update(chunk)
            await asyncio.to_thread(out.write, chunk)
    if not size:
        raise InvalidInput("The file is empty.", code="file_empty", field="body")
    if kind == "zip":
        return await asyncio.to_thread(_take_apart, name, path, place, unpacked_limit)
    one = Received(name, kind, size, digest.hexdigest(), path)
    await asyncio.to_thread(_look_into, one, unpacked_limit)
    return [one]


def _look_into(file: Received, limit: int) -> None:
    if file.name.lower().endswith(".gz"):
        _count_gzip(file, limit)
        return
    with file.path.open("rb") as stream:
        start = stream.read(16)
        if file.format == "parquet":
            stream.seek(-min(4, file.bytes), 2)
            if start[:4] != b"PAR1" or stream.read(4) != b"PAR1":
                raise _not_what_it_says(file.name, "Parquet")
        elif file.format == "sqlite":
            if start != b"SQLite format 3\0":
                raise _not_what_it_says(file.name, "SQLite")
        elif file.format == "excel":
            _check_workbook(file, limit)
        elif start[:2] == b"\x1f\x8b" or start[:4] == b"PK\x03\x04":
            raise InvalidInput(
                f"{file.name!r} is packed and not called so.",
                code="file_content_invalid",
                field="body",
                hint="Let its name end in .gz or .zip.",
            )


def _check_workbook(file: Received, limit: int) -> None:
    """A workbook is an archive; what its directory says comes out of it is not more than may."""
    try:
        with zipfile.ZipFile(file.path) as archive:
            names = set(archive.namelist())
            size = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, OSError):
        raise _not_what_it_says(file.name, "Excel") from None
    if "xl/workbook.xml" not in names:
        raise _not_what_it_says(file.name, "Excel")
    most = _most(file.bytes, limit)
    if size > most:
        raise _bomb(file.name, most)


def _not_what_it_says(name: str, kind: str) -> InvalidInput:
    return InvalidInput(
        f"{name!r} is no {kind} file.",
        code="file_content_invalid",
        field="body",
        hint="Was it cut off, or is its name wrong?",
    )


def _count_gzip(file: Received, limit: int) -> None:
    """Unpack it into nothing, to see how much comes out."""
    most = _most(file.bytes, limit)
    out = 0
    with file.path.open("rb") as stream:
        unpacker = zlib.decompressobj(wbits=31)
        while block := stream.read(BLOCK):
            while block:
                try:
                    out += len(unpacker.decompress(block, BLOCK))
                except zlib.error:
                    raise _not_what_it_says(file.name, "gzip") from None
                if out > most:
                    raise _bomb(file.name, most)
                block = unpacker.unconsumed_tail
                if unpacker.eof:
                    # Another member may follow (RFC 1952).
                    block = unpacker.unused_data
                    if block:
                        unpacker = zlib.decompressobj(wbits=31)
        if not unpacker.eof:
            raise _not_what_it_says(file.name, "whole gzip")


def _most(packed: int, limit: int) -> int:
    return min(limit, max(FREE_BYTES, packed * MAX_RATIO))


def _bomb(name: str, most: int) -> InvalidInput:
    return InvalidInput(
        f"More than {most:,} bytes come out of {name!r}.",
        code="file_unpacks_too_large",
        field="body",
        hint="Upload its files one by one.",
    )


def _take_apart(name: str, path: Path, place: Path, limit: int) -> list[Received]:
    try:
        with zipfile.ZipFile(path) as archive:
            return list(_members(name, archive, path.stat().st_size, place, limit))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, OSError):
        raise _not_what_it_says(name, "readable zip") from None
    finally:
        path.unlink(missing_ok=True)


def _members(
    name: str, archive: zipfile.ZipFile, packed: int, place: Path, limit: int
) -> Iterator[Received]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    # What a Mac adds to every archive.
    infos = [i for i in infos if not i.filename.startswith("__MACOSX/")]
    if not 1 <= len(infos) <= MAX_MEMBERS:
        raise InvalidInput(
            f"{name!r} holds {len(infos)} files; 1 to {MAX_MEMBERS} can be taken at once.",
            code="archive_members",
            field="body",
        )
    left, names = _most(packed, limit), set[str]()
    for number, info in enumerate(infos):
        member = _member_name(info, names)
        target = place / f"member{number}"
        with archive.open(info) as stream, target.open("wb") as out:
            size, digest = _copy(stream, out, left)
        if size > left:
            raise _bomb(name, _most(packed, limit))
        left -= size
        if not size:
            raise InvalidInput(f"{member!r} is empty.", code="file_empty", field="body")
        one = Received(member, check_name(member), size, digest, target)
        _look_into(one, limit)
        yield one


def _member_name(info: zipfile.ZipInfo, taken: set[str]) -> str:
    """Its last name: no member leads anywhere."""
    kind = (info.external_attr >> 16) & 0o170000
    if info.flag_bits & 1 or kind not in (0, 0o100000):
        raise InvalidInput(
            f"{info.filename[:100]!r} is encrypted, or no file.",
            code="archive_member_unusable",
            field="body",
            hint="Pack plain files, without a password and without links.",
        )
    member = re.split(r"[/\\]", info.filename)[-1]
    if check_name(member) == "zip":
        raise InvalidInput(
            f"{member!r} is an archive in an archive.",
            code="archive_member_unusable",
            field="body",
            hint="Pack its files directly.",
        )
    if member in taken:
        raise InvalidInput(
            f"Two files of the archive are called {member!r}.",
            code="archive_member_unusable",
            field="body",
            hint="Folders of an archive are not kept: give its files different names.",
        )
    taken.add(member)
    return member


def _copy(stream: IO[bytes], out: IO[bytes], most: int) -> tuple[int, str]:
    """(bytes, sha256); stops behind ``most`` bytes."""
    size, digest = 0, hashlib.sha256()
    while size <= most and (block := stream.read(BLOCK)):
        size += len(block)
        digest.update(block)
        if size <= most:
            out.write(block)
    return size, digest.hexdigest()


class Place:
    """A folder for one upload beside the organisation's files, gone afterwards whatever happens."""

    def __init__(self, root: Path) -> None:
        self._parent = root / "uploads"

    def __enter__(self) -> Path:
        self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = Path(tempfile.mkdtemp(dir=self._parent))
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)

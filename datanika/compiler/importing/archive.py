"""A project in a zip: its text files, within limits, and nothing that leads out of it."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from datanika.errors import InvalidInput

MAX_FILES = 5_000
MAX_FILE = 1_000_000
MAX_TOTAL = 50_000_000
MAX_PATH = 300
_ENDINGS = (".sql", ".yml", ".yaml", ".csv", ".md", ".py")
_LEFT_OUT = frozenset(
    {".git", ".github", ".venv", "venv", "target", "logs", "dbt_packages", "dbt_modules",
     "__MACOSX", "node_modules", ".user.yml"}
)  # fmt: skip
_STAMP = (1980, 1, 1, 0, 0, 0)
_DRIVE = re.compile(r"^[A-Za-z]:")


def read_archive(content: bytes) -> dict[str, str]:
    """Path -> text of the files that a dbt project is made of. Raises :class:`InvalidInput`:
    ``archive_invalid``, ``archive_too_large``, ``archive_path_refused``, ``archive_link_refused``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read(archive)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError):
        raise InvalidInput(
            "This is no zip archive that can be read.",
            code="archive_invalid",
            field="body",
            hint="Zip the folder with dbt_project.yml, without a password.",
        ) from None


def _read(archive: zipfile.ZipFile) -> dict[str, str]:
    members = archive.infolist()
    if len(members) > MAX_FILES:
        raise _too_large(f"more than {MAX_FILES:,} files")
    files: dict[str, str] = {}
    total = 0
    for member in members:
        check_path(member.filename)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InvalidInput(
                f"{member.filename[:MAX_PATH]!r} is a link.",
                code="archive_link_refused",
                field="body",
                hint="Put the file itself into the archive.",
            )
        if member.is_dir() or not is_wanted(member.filename):
            continue
        # Never what the archive claims, always what comes out.
        with archive.open(member) as stream:
            text = stream.read(MAX_FILE + 1)
        total += len(text)
        if len(text) > MAX_FILE:
            raise _too_large(f"{member.filename[:MAX_PATH]!r} has over {MAX_FILE:,} bytes")
        if total > MAX_TOTAL:
            raise _too_large(f"over {MAX_TOTAL:,} bytes in all")
        files[member.filename] = decode(text, member.filename)
    return files


def is_wanted(path: str) -> bool:
    """Whether a dbt project may be made of it; links, packages and builds are left out."""
    parts = PurePosixPath(path).parts
    return path.endswith(_ENDINGS) and not any(
        part in _LEFT_OUT or part.startswith("._") for part in parts
    )


def check_path(path: str) -> None:
    """Raises :class:`InvalidInput` ``archive_path_refused`` for a path that leads elsewhere."""
    parts = PurePosixPath(path).parts
    if (
        not path
        or len(path) > MAX_PATH
        or path.startswith("/")
        or "\\" in path
        or "\0" in path
        or ".." in parts
        or _DRIVE.match(path)
    ):
        raise InvalidInput(
            f"The path {path[:MAX_PATH]!r} is refused.",
            code="archive_path_refused",
            field="body",
            hint="Paths lead from the project's folder downwards.",
        )


def decode(content: bytes, path: str) -> str:
    """The text of a file. Raises :class:`InvalidInput` ``archive_text_invalid``."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidInput(f"{path!r} is no UTF-8 text.", code="archive_text_invalid", field="body")
    return text


def write_archive(files: Mapping[str, str]) -> bytes:
    """A zip of ``files``: the same files give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(files.items()):
            info = zipfile.ZipInfo(path, _STAMP)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, text.encode())
    return out.getvalue()


def _too_large(what: str) -> InvalidInput:
    return InvalidInput(
        f"The archive is too large: {what}.", code="archive_too_large", field="body"
    )

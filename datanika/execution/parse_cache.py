"""What dbt made of a project when it was parsed, kept by the hash of all that decides it.

Whoever starts an engine child keeps the entries; children have no way to the folder. An entry goes
in and comes out over the child's own channel, as bytes that nobody outside a child looks into: a
child that was taken over can spoil entries of its own organisation's project and nothing else. See
docs/adr/0017-cached-parse.md.

    parsed/<hash of the organisation>/<family>-<content>.entry    magic, SHA-256, the child's bytes
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import BinaryIO, NamedTuple

from datanika.contracts.steps import ResolvedTransform
from datanika.execution.redact import MIN_LENGTH
from datanika.execution.sandbox import work_root

logger = logging.getLogger(__name__)

MAX_ENTRY = 16 * 1024 * 1024
"""Bytes of one entry: a project of some 1,500 models. A larger one is parsed each time."""
MAX_ORGANIZATION = 64 * 1024 * 1024
MAX_ALL = 1024 * 1024 * 1024
MAX_AGE_SECONDS = 14 * 86_400.0
"""Since it was last read."""
SWEEP_SECONDS = 3600.0

FOLDER = "parsed"
_SUFFIX = ".entry"
_MAGIC = b"datanika parsed 1\n"
_HEADER = len(_MAGIC) + hashlib.sha256().digest_size
_PARSERS = ("dbt-", "jinja2", "mashumaro", "msgpack", "datanika")
"""Packages whose version decides what comes of a parse, and how it is read again."""


class ParseKey(NamedTuple):
    """Where a parse is kept: ``owner``'s, and by two hashes that are file names."""

    owner: str
    family: str
    """Of everything but the project's files: entries of one family can be parsed on from."""
    content: str
    """Of everything."""


def parse_key(step: ResolvedTransform, how: str = "") -> ParseKey | None:
    """The key of ``step``'s parse: hashes of all that decides it; None for one that is nobody's.

    Of the connection everything but its secrets goes in, as dbt's ``target`` shows a template no
    more than that. ``how``: names what the engine does with it, where that changes the parse.
    """
    if not step.owner:
        return None
    connection = step.destination
    shape = {k: v for k, v in connection.config.items() if k not in connection.secret_fields}
    family = _hash(
        step.owner,
        how,
        engine_version(),
        step.project_name,
        step.step.default_schema,
        step.step.threads,
        connection.id,
        connection.kind,
        sorted(shape.items()),
        connection.root,
    )
    return ParseKey(step.owner, family, _hash(family, sorted(step.files.items())))


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


@cache
def engine_version() -> str:
    """Changes with dbt, its adapters, what they parse and serialise with, and our engine."""
    found = sorted(
        f"{name} {one.version}"
        for one in distributions()
        if (name := str(one.metadata["Name"]).lower().replace("_", "-")).startswith(_PARSERS)
    )
    digest = hashlib.sha256("\n".join([sys.version, *found]).encode())
    code = Path(__file__).parents[1] / "engines" / "dbt_engine"
    for path in sorted(code.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class ParseEntry:
    """The bytes of an earlier parse, or none. ``exact``: of the very same project; otherwise of
    an earlier version of it."""

    data: bytes
    exact: bool


@dataclass(frozen=True)
class ParseCache:
    """The entries of every organisation, under ``root``. Nothing of it raises: an entry that
    cannot be read is none, and one that cannot be kept is not."""

    root: Path
    max_organization: int = MAX_ORGANIZATION
    max_all: int = MAX_ALL
    max_age_seconds: float = MAX_AGE_SECONDS

    def get(self, key: ParseKey) -> ParseEntry | None:
        """The entry that was kept for ``key``, or else the last used one of its family."""
        exact = self._path(key)
        entry = self._read(exact, key)
        if entry is not None:
            return ParseEntry(entry, exact=True)
        with contextlib.suppress(OSError):
            family = [one for one in _files(exact.parent) if one.name.startswith(key.family)]
            last = max(family, key=lambda one: one.lstat().st_mtime, default=None)
            if last is not None:
                content = last.name.removesuffix(_SUFFIX).rpartition("-")[2]
                entry = self._read(last, key._replace(content=content))
                if entry is not None:
                    return ParseEntry(entry, exact=False)
        return None

    def _read(self, path: Path, key: ParseKey) -> bytes | None:
        """None where there is no entry that is whole and was kept for this very key."""
        try:
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(number, "rb") as file:
                status = os.fstat(number)
                if not stat.S_ISREG(status.st_mode) or status.st_size > _HEADER + MAX_ENTRY:
                    raise ValueError("no entry")
                found = file.read()
            entry = found[_HEADER:]
            if not entry or found[:_HEADER] != _header(key, entry):
                raise ValueError("no entry")
            # The age is that of the last use.
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            logger.warning("An entry of the parse cache was unusable; the project is parsed.")
            _remove(path)
            return None
        return entry

    def put(self, key: ParseKey, entry: bytes, secrets_of_step: Iterable[str] = ()) -> bool:
        """Keep ``entry`` unless it is too large, or holds a secret; whether it was kept."""
        if not 0 < len(entry) <= MAX_ENTRY or _holds(entry, secrets_of_step):
            return False
        path = self._path(key)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = path.with_name(f".{secrets.token_hex(8)}")
            try:
                how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                with os.fdopen(os.open(written, how, 0o600), "wb") as file:
                    file.write(_header(key, entry) + entry)
                written.replace(path)
            except BaseException:
                _remove(written)
                raise
            self._trim(_files(path.parent), self.max_organization)
            self._sweep_sometimes()
        except OSError as error:
            logger.warning("The parse cache could not keep an entry: %s", error.strerror)
            return False
        return True

    def sweep(self) -> None:
        """Remove what is too old, and of all the rest what was used longest ago."""
        self._trim([one for folder in self.root.iterdir() for one in _files(folder)], self.max_all)
        for folder in self.root.iterdir():
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _sweep_sometimes(self) -> None:
        mark = self.root / ".swept"
        try:
            if time.time() - mark.stat().st_mtime < SWEEP_SECONDS:
                return
        except FileNotFoundError:
            pass
        mark.touch()
        self.sweep()

    def _trim(self, files: list[Path], limit: int) -> None:
        known = []
        for path in files:
            with contextlib.suppress(OSError):
                status = path.stat(follow_symlinks=False)
                known.append((status.st_mtime, status.st_size, path))
        total, oldest = 0, time.time() - self.max_age_seconds
        for used, size, path in sorted(known, reverse=True):
            total += size
            if total > limit or used < oldest:
                _remove(path)

    def _path(self, key: ParseKey) -> Path:
        folder = organization_folder(self.root, key.owner)
        return folder / f"{key.family}-{key.content}{_SUFFIX}"


def organization_folder(root: Path, owner: str) -> Path:
    """Where the entries of an organisation are."""
    return root / hashlib.sha256(owner.encode()).hexdigest()[:32]


PARSED = b'{"parsed":'
"""How a line begins that is followed by the bytes of a parse."""


def known_parse(cache: ParseCache, key: ParseKey) -> bytes:
    """What a child is told of the parses that are known: a line, and the bytes of one."""
    known = cache.get(key) or ParseEntry(b"", exact=False)
    head = json.dumps({"parsed": len(known.data), "exact": known.exact})
    return head.encode() + b"\n" + known.data


def read_parse(orders: BinaryIO) -> ParseEntry | None:
    """The other end of :func:`known_parse`; None where no parse is asked for."""
    line = orders.readline()
    if not line:
        return None
    head = json.loads(line)
    return ParseEntry(orders.read(head["parsed"]), exact=bool(head["exact"]))


def parse_size(line: bytes) -> int:
    """How many bytes follow ``line``; more than :data:`MAX_ENTRY` where it cannot be told."""
    try:
        size = int(json.loads(line)["parsed"])
    except (ValueError, TypeError, KeyError):
        return MAX_ENTRY + 1
    return size if size >= 0 else MAX_ENTRY + 1


def default_cache() -> ParseCache:
    """The cache of this installation's data folder."""
    return ParseCache(work_root().parent / FOLDER)


def _header(key: ParseKey, entry: bytes) -> bytes:
    # An entry in another's place is as unusable as half of one.
    return _MAGIC + hashlib.sha256("\0".join((*key, "")).encode() + entry).digest()


def _holds(entry: bytes, secret: Iterable[str]) -> bool:
    """Whether a secret is in it, plain or as JSON writes it."""
    known = [one for one in secret if len(one) >= MIN_LENGTH]
    forms = (form for one in known for form in (one, json.dumps(one)[1:-1]))
    return any(form.encode("utf-8", "replace") in entry for form in forms)


def _files(folder: Path) -> list[Path]:
    return [*folder.iterdir()] if folder.is_dir() and not folder.is_symlink() else []


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

"""An organisation's uploaded files: a row for each, and the file itself in its upload folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.events import utcnow
from datanika.db import get_session
from datanika.errors import Conflict, LimitReached, NotFound
from datanika.models import UploadedFile
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.limits import load_limits
from datanika.services.paging import (
    OLDEST,
    PageRequest,
    RowPage,
    contains,
    fetch_page,
    rows_of,
    sorts_of,
)
from datanika.services.uploads import Place, Received, check_name, receive
from datanika.services.usage_counter import month_of, used_in

SORTS = sorts_of(UploadedFile, "name", "bytes", "created_at")
FOLDER = "files"
"""Below the organisation's root: where connections of the kind ``files`` look."""


async def upload(
    actor: Actor, name: str, chunks: AsyncIterator[bytes], *, replace: bool = False
) -> Sequence[UploadedFile]:
    """Keep what comes in ``chunks`` under ``name``; the files of an archive under their own.

    No transaction is open while it comes. An upload of what is there already changes nothing.
    Raises :class:`Conflict` ``file_exists`` for another content, unless ``replace``,
    :class:`LimitReached`, and what :func:`~datanika.services.uploads.receive` raises.
    """
    actor.require("file:write")
    check_name(name)
    async with get_session(actor.scope) as session:
        allowed = await _allowed(session, actor.org_id)
    root = settings.org_root(actor.org_id)
    with Place(root) as place:
        received = await receive(
            name, chunks, place, min(settings.max_upload_bytes, allowed), allowed
        )
        async with get_session(actor.scope) as session:
            service, folder = FileService(session, actor), root / FOLDER
            files = [await service.keep(one, folder, replace=replace) for one in received]
            # Only now: of an archive nothing is kept where one of its files cannot be.
            for one in received:
                await asyncio.to_thread(_move, one.path, folder, one.name)
        return files


async def _allowed(session: AsyncSession, org_id: int) -> int:
    """Bytes that may be added to the organisation's files."""
    limits = await load_limits(session, org_id)
    if limits.max_storage_bytes is None:
        return settings.max_unpacked_bytes
    used = (await used_in(session, org_id, month_of(utcnow()))).storage_bytes
    left = limits.max_storage_bytes - used
    if left <= 0:
        raise LimitReached(
            f"The organisation's files take {used:,} bytes, and may take "
            f"{limits.max_storage_bytes:,}.",
            hint="Delete files or tables, or ask the owner for a higher limit.",
            limit="max_storage_bytes",
        )
    return min(left, settings.max_unpacked_bytes)


class FileService:
    """Files of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def list(
        self, page: PageRequest = OLDEST, *, search: str | None = None
    ) -> RowPage[UploadedFile]:
        """The files; ``search`` is a part of the name."""
        self.actor.require("file:read")
        query = rows_of(UploadedFile).where(UploadedFile.org_id == self.actor.org_id)
        if search is not None:
            query = query.where(contains(UploadedFile.name, search))
        return await fetch_page(self.session, query, SORTS, page)

    async def get(self, file_id: int) -> UploadedFile:
        """Raises :class:`NotFound`, also for another organisation's file."""
        self.actor.require("file:read")
        return await self.find(file_id)

    async def find(self, file_id: int) -> UploadedFile:
        """The file, for a caller that has checked its own permission."""
        file: UploadedFile | None = await self.session.scalar(
            select(UploadedFile).where(
                UploadedFile.id == file_id, UploadedFile.org_id == self.actor.org_id
            )
        )
        if file is None:
            raise NotFound("There is no such file.", code="file_not_found")
        return file

    async def keep(self, received: Received, folder: Path, *, replace: bool) -> UploadedFile:
        """The row of a received file, which the caller moves into ``folder``."""
        self.actor.require("file:write")
        known = await self.session.scalar(
            select(UploadedFile)
            .where(UploadedFile.org_id == self.actor.org_id, UploadedFile.name == received.name)
            .with_for_update()
        )
        there = await asyncio.to_thread((folder / received.name).is_file)
        if known is not None and there:
            if known.sha256 == received.sha256:
                return known
            if not replace:
                raise Conflict(
                    f"There is a file {received.name!r} with another content.",
                    code="file_exists",
                    field="name",
                    hint="Give it another name, or say replace=true.",
                )
        file = known or UploadedFile(org_id=self.actor.org_id, name=received.name)
        old = {"sha256": known.sha256, "bytes": known.bytes} if known is not None else None
        file.format, file.bytes, file.sha256 = received.format, received.bytes, received.sha256
        file.created_by = self.actor.user_id
        self.session.add(file)
        await self.session.flush()
        await record(
            self.session, self.actor, "file.replaced" if old else "file.uploaded", "file", file.id,
            old=old, new={"name": file.name, "bytes": file.bytes, "sha256": file.sha256},
        )  # fmt: skip
        return file

    async def delete(self, file_id: int) -> None:
        """Take the file away. A load that reads it now reads it to its end."""
        self.actor.require("file:delete")
        file = await self.find(file_id)
        await self.session.delete(file)
        await self.session.flush()
        await record(
            self.session, self.actor, "file.deleted", "file", file_id,
            old={"name": file.name, "bytes": file.bytes},
        )  # fmt: skip
        path = settings.org_root(self.actor.org_id) / FOLDER / file.name
        await asyncio.to_thread(path.unlink, missing_ok=True)


def _move(path: Path, folder: Path, name: str) -> None:
    """Readers see the old file or the new one, never a part."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.replace(folder / name)

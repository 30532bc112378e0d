"""``client.files``"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Literal

from datanika.client.resource import Resource, written
from datanika.contracts.api import FileOut, FilePreviewIn, JobOut, Page

Sort = Literal["id", "-id", "name", "-name", "bytes", "-bytes", "created_at", "-created_at"]
MINUTES = 60.0
"""Seconds more than usual that the server may take for an upload's last piece."""


class Files(Resource):
    """Uploaded files, which connections of the kind ``files`` read."""

    def list(
        self,
        *,
        search: str | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[FileOut]:
        """Every file; ``search`` is a part of the name."""
        return self._items(FileOut, "files", search=search, sort=sort, limit=page_size)

    def get(self, file_id: int) -> FileOut:
        """One of them, without its content."""
        return self._get(FileOut, f"files/{file_id}")

    def upload(
        self, name: str, content: IO[bytes] | bytes, *, replace: bool | None = None
    ) -> Sequence[FileOut]:
        """Send a file, in pieces if it is an open one: CSV, JSON lines or Parquet, also as .gz; the
        files of a .zip are kept under their own names."""
        answer = self._http.send(
            "files", content, params=written(name=name, replace=replace), longer=MINUTES
        )
        return Page[FileOut].model_validate_json(answer).items

    def delete(self, file_id: int) -> None:
        """Take it away; tables that were loaded from it stay."""
        self._delete(f"files/{file_id}")

    def preview(
        self,
        file_id: int,
        request: FilePreviewIn | None = None,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """Its columns with the types that are seen in it, and its first rows."""
        path = f"files/{file_id}/preview"
        return self._post(JobOut, path, request, wait=wait, idempotency_key=idempotency_key)

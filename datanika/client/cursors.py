"""``client.cursors``"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from datanika.client.resource import Resource, segment
from datanika.contracts.api import CursorOut, CursorVersionOut, RewindIn

Sort = Literal["id", "-id"]


class Cursors(Resource):
    """How far incremental loads have come: a cursor for each table (``target``) of a load step."""

    def list(self, pipeline_id: int) -> Sequence[CursorOut]:
        """Each table that the pipeline loads incrementally."""
        return self._whole(CursorOut, f"pipelines/{pipeline_id}/cursors")

    def versions(
        self,
        pipeline_id: int,
        step_key: str,
        target: str,
        *,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[CursorVersionOut]:
        """Every place it has been at, the newest first."""
        path = _path(pipeline_id, step_key, target)
        return self._items(CursorVersionOut, path, sort=sort, limit=page_size)

    def rewind(
        self,
        pipeline_id: int,
        step_key: str,
        target: str,
        to: RewindIn,
        *,
        idempotency_key: str | None = None,
    ) -> CursorVersionOut:
        """Let the next run read the table again from an earlier place."""
        path = f"{_path(pipeline_id, step_key, target)}/rewind"
        return self._post(CursorVersionOut, path, to, idempotency_key=idempotency_key)


def _path(pipeline_id: int, step_key: str, target: str) -> str:
    return f"pipelines/{pipeline_id}/cursors/{segment(step_key)}/{segment(target)}"

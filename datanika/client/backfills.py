"""``client.backfills``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource
from datanika.contracts.api import BackfillIn, BackfillOut
from datanika.contracts.enums import BackfillState

Sort = Literal[
    "id", "-id", "created_at", "-created_at", "interval_start", "-interval_start"
]  # fmt: skip


class Backfills(Resource):
    """Intervals of the past that are loaded again, a chunk a run."""

    def list(
        self,
        *,
        pipeline_id: int | None = None,
        state: BackfillState | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[BackfillOut]:
        """Every backfill, the newest first."""
        return self._items(
            BackfillOut,
            "backfills",
            pipeline_id=pipeline_id,
            state=state,
            sort=sort,
            limit=page_size,
        )

    def get(self, backfill_id: int) -> BackfillOut:
        """One backfill, and how far it has come."""
        return self._get(BackfillOut, f"backfills/{backfill_id}")

    def create(
        self, pipeline_id: int, backfill: BackfillIn, *, idempotency_key: str | None = None
    ) -> BackfillOut:
        """Load an interval of a pipeline again; its first chunk starts at once."""
        path = f"pipelines/{pipeline_id}/backfills"
        return self._post(BackfillOut, path, backfill, idempotency_key=idempotency_key)

    def cancel(self, backfill_id: int) -> BackfillOut:
        """No further chunk; the one that runs is cancelled."""
        return self._post(BackfillOut, f"backfills/{backfill_id}/cancel")

    def retry(self, backfill_id: int, *, idempotency_key: str | None = None) -> BackfillOut:
        """Go on with the chunk that failed or was cancelled."""
        path = f"backfills/{backfill_id}/retry"
        return self._post(BackfillOut, path, idempotency_key=idempotency_key)

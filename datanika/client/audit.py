"""``client.audit``"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource, written
from datanika.contracts.api import AuditOut, AuditVerdictOut

Sort = Literal["id", "-id", "at", "-at"]
Format = Literal["jsonl", "csv"]


class Audit(Resource):
    """Who did what. Moments have a time zone; ``after`` is inclusive, ``before`` is not."""

    def list(
        self,
        *,
        resource_type: str | None = None,
        resource_id: int | None = None,
        action: str | None = None,
        user_id: int | None = None,
        after: dt.datetime | None = None,
        before: dt.datetime | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[AuditOut]:
        """Every entry, the newest first."""
        return self._items(
            AuditOut,
            "audit",
            resource_type=resource_type,
            resource_id=resource_id,
            action=action,
            user_id=user_id,
            after=after,
            before=before,
            sort=sort,
            limit=page_size,
        )

    def export(
        self,
        format: Format = "jsonl",
        *,
        resource_type: str | None = None,
        resource_id: int | None = None,
        action: str | None = None,
        user_id: int | None = None,
        after: dt.datetime | None = None,
        before: dt.datetime | None = None,
    ) -> Iterator[bytes]:
        """The entries as a file, the oldest first, in pieces as they arrive."""
        query = written(
            format=format,
            resource_type=resource_type,
            resource_id=resource_id,
            action=action,
            user_id=user_id,
            after=after,
            before=before,
        )
        return self._http.download("audit/export", query)

    def verify(self) -> AuditVerdictOut:
        """Whether the log is as it was written."""
        return self._get(AuditVerdictOut, "audit/verify")

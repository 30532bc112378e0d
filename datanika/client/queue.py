"""``client.queue``"""

from __future__ import annotations

from datanika.client.resource import Resource
from datanika.contracts.api import QueueOut


class Queue(Resource):
    """Runs that wait."""

    def get(self, *, limit: int | None = None) -> QueueOut:
        """The first ``limit`` of them in the order in which they start, each with its reason."""
        return self._get(QueueOut, "queue", limit=limit)

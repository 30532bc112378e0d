"""``client.usage``"""

from __future__ import annotations

from datanika.client.resource import Resource
from datanika.contracts.api import UsageOut


class Usage(Resource):
    """What the organisation uses of what it may."""

    def get(self) -> UsageOut:
        """Now and in this calendar month (UTC), each figure with its limit."""
        return self._get(UsageOut, "usage")

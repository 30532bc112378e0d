"""``client.overview``"""

from __future__ import annotations

from datanika.client.resource import Resource
from datanika.contracts.api import OverviewOut


class Overview(Resource):
    """The organisation at a glance."""

    def get(self) -> OverviewOut:
        """Health, the last 24 hours, failures with their causes, lateness, trends, quotas."""
        return self._get(OverviewOut, "overview")

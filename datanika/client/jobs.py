"""``client.jobs``"""

from __future__ import annotations

from datanika.client.resource import Resource
from datanika.contracts.api import JobOut


class Jobs(Resource):
    """Ad hoc jobs, which ``client.connections`` and ``client.transformations`` start."""

    def get(self, job_id: int) -> JobOut:
        """How a job is doing, and what it found. It is kept for an hour."""
        return self._get(JobOut, f"jobs/{job_id}")

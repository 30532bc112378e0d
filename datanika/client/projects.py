"""``client.projects``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from datanika.client.resource import Resource, written
from datanika.contracts.api import CompletionOut, ImportReport

MINUTES = 120.0
"""Seconds more than usual that reading a large project may take."""


class Projects(Resource):
    """A destination's transformations as a dbt project."""

    def import_project(
        self,
        destination_id: int,
        content: IO[bytes] | bytes,
        *,
        dry_run: bool | None = None,
        replace: bool | None = None,
        accept_refused: bool | None = None,
    ) -> ImportReport:
        """Send a zip. Unless ``dry_run`` is false, it only says what would be."""
        query = written(
            destination_id=destination_id,
            dry_run=dry_run,
            replace=replace,
            accept_refused=accept_refused,
        )
        answer = self._http.send("projects/import", content, params=query, longer=MINUTES)
        return ImportReport.model_validate_json(answer)

    def export(self, destination_id: int, *, name: str | None = None) -> Iterator[bytes]:
        """A zip, in pieces."""
        query = written(destination_id=destination_id, name=name)
        return self._http.download("projects/export", query, longer=MINUTES)

    def completion(self, destination_id: int) -> CompletionOut:
        """What a transformation of the destination may name."""
        return self._get(CompletionOut, "projects/completion", destination_id=destination_id)

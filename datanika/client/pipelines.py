"""``client.pipelines``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource, if_match
from datanika.contracts.api import (
    PipelineIn,
    PipelineItem,
    PipelineOut,
    PipelinePatch,
    PipelineVersionOut,
    PlanOut,
    RunOut,
    TriggerIn,
)
from datanika.errors import NotFound

Sort = Literal[
    "id", "-id", "name", "-name", "created_at", "-created_at", "updated_at", "-updated_at"
]
VersionSort = Literal["id", "-id"]


class Pipelines(Resource):
    """What is loaded and transformed, in which order."""

    def list(
        self,
        *,
        name: str | None = None,
        search: str | None = None,
        is_paused: bool | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[PipelineItem]:
        """Every pipeline, without its specification; ``search`` is a part of the name."""
        return self._items(
            PipelineItem,
            "pipelines",
            name=name,
            search=search,
            is_paused=is_paused,
            sort=sort,
            limit=page_size,
        )

    def get(self, pipeline_id: int) -> PipelineOut:
        """One pipeline."""
        return self._get(PipelineOut, f"pipelines/{pipeline_id}")

    def find(self, reference: str | int) -> PipelineOut:
        """A pipeline by its id or its name; raises :class:`NotFound`."""
        if str(reference).isdecimal():
            return self.get(int(reference))
        for found in self.list(name=str(reference)):
            return self.get(found.id)
        raise NotFound(f"There is no pipeline {reference!r}.", code="pipeline_not_found")

    def create(self, pipeline: PipelineIn, *, idempotency_key: str | None = None) -> PipelineOut:
        """A new pipeline."""
        return self._post(PipelineOut, "pipelines", pipeline, idempotency_key=idempotency_key)

    def update(
        self,
        pipeline: PipelineItem | int,
        change: PipelinePatch,
        *,
        revision: int | None = None,
        overwrite: bool = False,
    ) -> PipelineOut:
        """Change what is given; another specification is a new version. Raises
        :class:`PreconditionFailed` if somebody was faster, unless ``overwrite``."""
        pipeline_id = pipeline if isinstance(pipeline, int) else pipeline.id
        condition = if_match(pipeline, revision, overwrite)
        return self._patch(PipelineOut, f"pipelines/{pipeline_id}", change, condition)

    def delete(self, pipeline_id: int) -> None:
        """Take it away; its runs stay."""
        self._delete(f"pipelines/{pipeline_id}")

    def pause(self, pipeline_id: int) -> PipelineOut:
        """From now on it runs by hand only."""
        return self._post(PipelineOut, f"pipelines/{pipeline_id}/pause")

    def resume(self, pipeline_id: int) -> PipelineOut:
        """Let its schedules run it again."""
        return self._post(PipelineOut, f"pipelines/{pipeline_id}/resume")

    def plan(self, pipeline_id: int) -> PlanOut:
        """What a run triggered now would do."""
        return self._get(PlanOut, f"pipelines/{pipeline_id}/plan")

    def versions(
        self,
        pipeline_id: int,
        *,
        sort: VersionSort | None = None,
        page_size: int | None = None,
    ) -> Iterator[PipelineVersionOut]:
        """Every specification it had, the newest first."""
        path = f"pipelines/{pipeline_id}/versions"
        return self._items(PipelineVersionOut, path, sort=sort, limit=page_size)

    def restore(self, pipeline_id: int, number: int) -> PipelineOut:
        """Make the specification of version ``number`` the present one again, as a new version."""
        return self._post(PipelineOut, f"pipelines/{pipeline_id}/versions/{number}/restore")

    def run(
        self,
        pipeline_id: int,
        *,
        how: TriggerIn | None = None,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> RunOut:
        """Start a run; the same key gives the same run. With ``wait`` (at most 300 s) the answer
        comes when it is over, or after so many seconds. ``how`` it differs from what the
        pipeline says: some steps only, everything from the beginning, without its upstreams."""
        path = f"pipelines/{pipeline_id}/runs"
        return self._post(RunOut, path, how, wait=wait, idempotency_key=idempotency_key)

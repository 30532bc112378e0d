"""``client.dependencies``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource, if_match
from datanika.contracts.api import DependencyIn, DependencyOut, DependencyPatch, ReadinessOut

Sort = Literal[
    "id", "-id", "pipeline_id", "-pipeline_id", "upstream_id", "-upstream_id",
    "created_at", "-created_at", "updated_at", "-updated_at",
]  # fmt: skip


class Dependencies(Resource):
    """Which pipelines need which others."""

    def list(
        self,
        *,
        upstream_id: int | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[DependencyOut]:
        """Every dependency of the organisation; with ``upstream_id`` those on one pipeline."""
        return self._items(
            DependencyOut, "dependencies", upstream_id=upstream_id, sort=sort, limit=page_size
        )

    def of(
        self, pipeline_id: int, *, sort: Sort | None = None, page_size: int | None = None
    ) -> Iterator[DependencyOut]:
        """What a pipeline needs."""
        path = f"pipelines/{pipeline_id}/dependencies"
        return self._items(DependencyOut, path, sort=sort, limit=page_size)

    def get(self, pipeline_id: int, dependency_id: int) -> DependencyOut:
        """One dependency."""
        return self._get(DependencyOut, f"pipelines/{pipeline_id}/dependencies/{dependency_id}")

    def create(
        self,
        pipeline_id: int,
        dependency: DependencyIn,
        *,
        idempotency_key: str | None = None,
    ) -> DependencyOut:
        """Let a pipeline need another; raises :class:`Conflict` where that closes a circle."""
        path = f"pipelines/{pipeline_id}/dependencies"
        return self._post(DependencyOut, path, dependency, idempotency_key=idempotency_key)

    def update(
        self,
        pipeline_id: int,
        dependency: DependencyOut | int,
        change: DependencyPatch,
        *,
        revision: int | None = None,
        overwrite: bool = False,
    ) -> DependencyOut:
        """Change what is given. Raises :class:`PreconditionFailed` if somebody was faster, unless
        ``overwrite``."""
        dependency_id = dependency if isinstance(dependency, int) else dependency.id
        condition = if_match(dependency, revision, overwrite)
        path = f"pipelines/{pipeline_id}/dependencies/{dependency_id}"
        return self._patch(DependencyOut, path, change, condition)

    def delete(self, pipeline_id: int, dependency_id: int) -> None:
        """Take it away; runs that wait for it start."""
        self._delete(f"pipelines/{pipeline_id}/dependencies/{dependency_id}")

    def readiness(self, pipeline_id: int) -> ReadinessOut:
        """What a run triggered now would wait for, and until when."""
        return self._get(ReadinessOut, f"pipelines/{pipeline_id}/readiness")

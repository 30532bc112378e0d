"""``client.transformations``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource, if_match
from datanika.contracts.api import (
    CompileIn,
    FormatIn,
    JobOut,
    LintIn,
    TransformationDiff,
    TransformationOut,
    TransformationPreviewIn,
    TransformationVersionOut,
)
from datanika.contracts.enums import TransformationKind
from datanika.contracts.spec import TransformationSpec

Sort = Literal[
    "id", "-id", "name", "-name", "kind", "-kind",
    "created_at", "-created_at", "updated_at", "-updated_at",
]  # fmt: skip


VersionSort = Literal["id", "-id", "number", "-number"]


class Transformations(Resource):
    """What the organisation wrote for dbt.

    ``compile`` and ``preview`` start a job; with ``wait`` (at most 60 s) the answer comes when it
    is over, or after so many seconds.
    """

    def list(
        self,
        *,
        name: str | None = None,
        search: str | None = None,
        kind: TransformationKind | None = None,
        destination_id: int | None = None,
        sort: Sort | None = None,
        page_size: int | None = None,
    ) -> Iterator[TransformationOut]:
        """Every transformation; ``search`` is a part of the name."""
        return self._items(
            TransformationOut,
            "transformations",
            name=name,
            search=search,
            kind=kind,
            destination_id=destination_id,
            sort=sort,
            limit=page_size,
        )

    def get(self, transformation_id: int) -> TransformationOut:
        """One transformation."""
        return self._get(TransformationOut, f"transformations/{transformation_id}")

    def create(
        self, spec: TransformationSpec, *, idempotency_key: str | None = None
    ) -> TransformationOut:
        """A new transformation."""
        return self._post(
            TransformationOut, "transformations", spec, idempotency_key=idempotency_key
        )

    def update(
        self,
        transformation: TransformationOut | int,
        spec: TransformationSpec,
        *,
        revision: int | None = None,
        overwrite: bool = False,
    ) -> TransformationOut:
        """Replace it: ``spec`` is the whole of it. Raises :class:`PreconditionFailed` if somebody
        was faster, unless ``overwrite``."""
        item = transformation
        transformation_id = item if isinstance(item, int) else item.id
        condition = if_match(item, revision, overwrite)
        return self._replace(
            TransformationOut, f"transformations/{transformation_id}", spec, condition
        )

    def delete(self, transformation_id: int) -> None:
        """Take it away."""
        self._delete(f"transformations/{transformation_id}")

    def versions(
        self,
        transformation_id: int,
        *,
        sort: VersionSort | None = None,
        page_size: int | None = None,
    ) -> Iterator[TransformationVersionOut]:
        """Everything that it ever was, the newest first."""
        path = f"transformations/{transformation_id}/versions"
        return self._items(TransformationVersionOut, path, sort=sort, limit=page_size)

    def restore(self, transformation_id: int, number: int) -> TransformationOut:
        """Make version ``number`` the present one again, as a new version."""
        path = f"transformations/{transformation_id}/versions/{number}/restore"
        return self._post(TransformationOut, path)

    def diff(
        self,
        transformation_id: int,
        *,
        from_version: int | None = None,
        to_version: int | None = None,
    ) -> TransformationDiff:
        """What changed between two versions; by default with the last change."""
        return self._get(
            TransformationDiff,
            f"transformations/{transformation_id}/diff",
            from_version=from_version,
            to_version=to_version,
        )

    def compile(
        self,
        transformation_id: int,
        request: CompileIn | None = None,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """Its SQL, with the Jinja resolved."""
        path = f"transformations/{transformation_id}/compile"
        return self._post(JobOut, path, request, wait=wait, idempotency_key=idempotency_key)

    def format(
        self,
        transformation_id: int,
        request: FormatIn | None = None,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """Its code in sqlfmt's style; nothing is saved."""
        path = f"transformations/{transformation_id}/format"
        return self._post(JobOut, path, request, wait=wait, idempotency_key=idempotency_key)

    def lint(
        self,
        transformation_id: int,
        request: LintIn | None = None,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """What could be better about its code, by line."""
        path = f"transformations/{transformation_id}/lint"
        return self._post(JobOut, path, request, wait=wait, idempotency_key=idempotency_key)

    def preview(
        self,
        transformation_id: int,
        request: TransformationPreviewIn | None = None,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """The first rows that it selects; nothing is built."""
        path = f"transformations/{transformation_id}/preview"
        return self._post(JobOut, path, request, wait=wait, idempotency_key=idempotency_key)

"""What a tenant writes for dbt. Its code passes the compiler's guard before it is stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler.diff import diff_specs
from datanika.compiler.project import resolve_references
from datanika.compiler.properties import check_destination
from datanika.contracts.api.transformations import TransformationDiff
from datanika.contracts.catalog import connector_kind
from datanika.contracts.spec import TransformationSpec
from datanika.errors import Conflict, InvalidInput, NotFound
from datanika.models import Transformation, TransformationVersion
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.connection_service import ConnectionService
from datanika.services.paging import (
    OLDEST,
    PageRequest,
    RowPage,
    contains,
    fetch_page,
    rows_of,
    sorts_of,
)
from datanika.services.validation import check_revision

VERSION_SORTS = sorts_of(TransformationVersion, "number")
SORTS = sorts_of(Transformation, "name", "kind", "created_at", "updated_at")


class TransformationService:
    """An organisation's transformations: one dbt project for each destination."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def create(self, spec: TransformationSpec) -> Transformation:
        """Raises :class:`GuardRefused` for code that may not run, :class:`Conflict` for a name
        that is taken at this destination."""
        self.actor.require("transformation:write")
        await self._check(spec)
        return await self.put(spec, None)

    async def put(self, spec: TransformationSpec, row: Transformation | None) -> Transformation:
        """Write what was checked together with its siblings; ``row``, locked, becomes it."""
        if row is None:
            row, old = Transformation(org_id=self.actor.org_id, revision=1), None
        else:
            old = row.spec
            row.revision += 1
        await self._save(row, spec)
        self.session.add(
            TransformationVersion(
                org_id=row.org_id,
                transformation_id=row.id,
                number=row.revision,
                spec=row.spec,
                created_by=self.actor.user_id,
            )
        )
        await self.session.flush()
        action = "transformation.created" if old is None else "transformation.updated"
        await record(
            self.session, self.actor, action, "transformation", row.id, old=old, new=row.spec
        )
        return row

    async def get(self, transformation_id: int) -> Transformation:
        """Raises :class:`NotFound`, also for another organisation's transformation."""
        self.actor.require("transformation:read")
        return await self.find(transformation_id)

    async def find(self, transformation_id: int, *, lock: bool = False) -> Transformation:
        """The transformation, for a caller that has checked its own permission."""
        query = select(Transformation).where(
            Transformation.id == transformation_id,
            Transformation.org_id == self.actor.org_id,
            Transformation.deleted_at.is_(None),
        )
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        row = await self.session.scalar(query)
        if row is None:
            raise NotFound("There is no such transformation.", code="transformation_not_found")
        return row

    async def list(
        self,
        page: PageRequest = OLDEST,
        *,
        name: str | None = None,
        search: str | None = None,
        kind: str | None = None,
        destination_id: int | None = None,
    ) -> RowPage[Transformation]:
        """The organisation's transformations; ``search`` is a part of the name."""
        self.actor.require("transformation:read")
        query = rows_of(Transformation).where(
            Transformation.org_id == self.actor.org_id, Transformation.deleted_at.is_(None)
        )
        if name is not None:
            query = query.where(Transformation.name == name)
        if search is not None:
            query = query.where(contains(Transformation.name, search))
        if kind is not None:
            query = query.where(Transformation.kind == kind)
        if destination_id is not None:
            query = query.where(Transformation.destination_id == destination_id)
        return await fetch_page(self.session, query, SORTS, page)

    async def update(
        self, transformation_id: int, spec: TransformationSpec, revision: int | None = None
    ) -> Transformation:
        """Raises :class:`Conflict` ``stale_revision`` when it changed since ``revision``."""
        self.actor.require("transformation:write")
        row = await self.find(transformation_id, lock=True)
        check_revision(row.revision, revision)
        await self._check(spec, replaces=row.name)
        return await self.put(spec, row)

    async def versions(
        self, transformation_id: int, page: PageRequest = OLDEST
    ) -> RowPage[TransformationVersion]:
        """Everything that it ever was, since versions are kept."""
        await self.get(transformation_id)
        query = rows_of(TransformationVersion).where(
            TransformationVersion.org_id == self.actor.org_id,
            TransformationVersion.transformation_id == transformation_id,
        )
        return await fetch_page(self.session, query, VERSION_SORTS, page)

    async def restore(
        self, transformation_id: int, number: int, revision: int | None = None
    ) -> Transformation:
        """Make version ``number`` the present one, as a new version; see :meth:`update`. It must
        pass today's checks."""
        self.actor.require("transformation:write")
        spec = await self._version(transformation_id, number)
        return await self.update(transformation_id, spec, revision)

    async def diff(
        self, transformation_id: int, from_version: int | None, to_version: int | None
    ) -> TransformationDiff:
        """From the version before ``to_version`` to the present one, where they are not given."""
        row = await self.get(transformation_id)
        newer = row.revision if to_version is None else to_version
        older = max(newer - 1, 1) if from_version is None else from_version
        old = await self._version(transformation_id, older)
        new = await self._version(transformation_id, newer)
        return diff_specs(old, new, older, newer)

    async def version(self, transformation_id: int, number: int) -> TransformationSpec:
        """What it was; raises :class:`NotFound`."""
        await self.get(transformation_id)
        return await self._version(transformation_id, number)

    async def _version(self, transformation_id: int, number: int) -> TransformationSpec:
        spec = await self.session.scalar(
            select(TransformationVersion.spec).where(
                TransformationVersion.org_id == self.actor.org_id,
                TransformationVersion.transformation_id == transformation_id,
                TransformationVersion.number == number,
            )
        )
        if spec is None:
            raise NotFound(
                f"There is no version {number} of it.", code="transformation_version_not_found"
            )
        return TransformationSpec.model_validate(spec)

    async def delete(self, transformation_id: int) -> None:
        """Raises :class:`Conflict` ``transformation_in_use`` naming those that read it."""
        self.actor.require("transformation:delete")
        row = await self.find(transformation_id, lock=True)
        readers = await self._readers_of(row)
        if readers:
            raise Conflict(
                f"{row.name} is read by {', '.join(readers)}.",
                code="transformation_in_use",
                hint="Change or delete those first.",
                used_by=readers,
            )
        row.deleted_at = dt.datetime.now(dt.UTC)
        await self.session.flush()
        await record(
            self.session, self.actor, "transformation.deleted", "transformation", row.id,
            old=row.spec,
        )  # fmt: skip

    async def specs(
        self, destination_ids: Iterable[int] | None = None
    ) -> tuple[TransformationSpec, ...]:
        """What the compiler wants, by name; None means of every destination."""
        self.actor.require("transformation:read")
        return await load_transformation_specs(self.session, self.actor.org_id, destination_ids)

    async def _check(self, spec: TransformationSpec, replaces: str | None = None) -> None:
        """Guard the code. What it reads may still be missing: the plan checks that."""
        refs = await ConnectionService(self.session, self.actor).refs(
            [spec.destination_id], lock=True
        )
        destination = refs.get(spec.destination_id)
        if destination is None:
            raise InvalidInput(
                "There is no such connection.",
                code="connection_not_found",
                field="destination_id",
            )
        if not connector_kind(destination.kind).supports_transform:
            raise InvalidInput(
                f"dbt cannot work in a connection of the kind {destination.kind}.",
                code="transform_not_supported",
                field="destination_id",
            )
        check_destination(spec, destination.kind)
        siblings = await self._siblings(spec.destination_id)
        by_name = {item.name: item for item in siblings if item.name != replaces}
        resolve_references(by_name | {spec.name: spec})

    async def _siblings(self, destination_id: int) -> tuple[TransformationSpec, ...]:
        return await load_transformation_specs(self.session, self.actor.org_id, [destination_id])

    async def _readers_of(self, row: Transformation) -> tuple[str, ...]:
        by_name = {item.name: item for item in await self._siblings(row.destination_id)}
        return tuple(
            sorted(
                name
                for name, found in resolve_references(by_name).items()
                if name != row.name and row.name in (*found.refs, *found.macros)
            )
        )

    async def _save(self, row: Transformation, spec: TransformationSpec) -> None:
        row.name = spec.name
        row.kind = spec.kind
        row.destination_id = spec.destination_id
        row.description = spec.description
        row.spec = spec.model_dump(mode="json")
        try:
            async with self.session.begin_nested():
                self.session.add(row)
        except IntegrityError:
            raise Conflict(
                "There is already a transformation with this name at this destination.",
                code="name_taken",
                field="name",
            ) from None


async def load_transformation_specs(
    session: AsyncSession, org_id: int, destination_ids: Iterable[int] | None = None
) -> tuple[TransformationSpec, ...]:
    """An organisation's live transformations, by destination and name."""
    query = (
        select(Transformation.spec)
        .where(Transformation.org_id == org_id, Transformation.deleted_at.is_(None))
        .order_by(Transformation.destination_id, Transformation.name)
    )
    if destination_ids is not None:
        query = query.where(Transformation.destination_id.in_(set(destination_ids)))
    return tuple(TransformationSpec.model_validate(spec) for spec in await session.scalars(query))

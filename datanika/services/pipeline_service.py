"""Pipelines and their immutable versions.

Every change clears ``deployed_hash``: that is how the deployer knows what Prefect lacks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler import compile_plan
from datanika.contracts.cdc import steps_with_changes
from datanika.contracts.enums import OverlapPolicy, StepKind
from datanika.contracts.events import utcnow
from datanika.contracts.plan import Plan, leave_out_defaults
from datanika.contracts.spec import ConnectionRef, PipelineSpec
from datanika.errors import Conflict, NotFound
from datanika.models import Connection, Pipeline, PipelineDependency, PipelineVersion
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.freshness import dependencies_on, lock_pipelines, release_waiting
from datanika.services.notification_events import notify_switched
from datanika.services.paging import (
    OLDEST,
    PageRequest,
    RowPage,
    contains,
    fetch_page,
    rows_of,
    sorts_of,
)
from datanika.services.slot_releases import release
from datanika.services.table_owners import shared_tables
from datanika.services.transformation_service import load_transformation_specs
from datanika.services.validation import check_revision, valid_name

VERSION_SORTS = sorts_of(PipelineVersion)
_ROWS = rows_of(Pipeline).add_columns(Pipeline.deployed_hash.is_not(None).label("is_deployed"))
SORTS = sorts_of(Pipeline, "name", "created_at", "updated_at")


async def compile_spec(
    session: AsyncSession, org_id: int, spec: PipelineSpec, *, lock: bool = False
) -> Plan:
    """The plan of a specification with the organisation's connections and transformations now.

    ``lock`` keeps the connections from being deleted until the transaction ends.
    Raises :class:`~datanika.errors.SpecError` that names the step.
    """
    ids = {step.destination_id for step in spec.steps}
    ids |= {step.source_id for step in spec.steps if step.kind is StepKind.LOAD}
    query = (
        select(Connection.id, Connection.name, Connection.kind)
        .where(Connection.org_id == org_id, Connection.id.in_(ids), Connection.deleted_at.is_(None))
        .order_by(Connection.id)
    )
    rows = await session.execute(query.with_for_update(read=True) if lock else query)
    refs = {row.id: ConnectionRef(id=row.id, name=row.name, kind=row.kind) for row in rows}
    destinations = {step.destination_id for step in spec.steps if step.kind is StepKind.TRANSFORM}
    specs = await load_transformation_specs(session, org_id, destinations) if destinations else []
    return compile_plan(spec, refs, specs)


async def compile_version(session: AsyncSession, org_id: int, version: PipelineVersion) -> Plan:
    """The plan of a stored version; see :func:`compile_spec`."""
    return await compile_spec(session, org_id, PipelineSpec.model_validate(version.spec))


def spec_hash(spec: PipelineSpec) -> str:
    """sha256 of the specification's canonical JSON, hex."""
    content = spec.model_dump(mode="json")
    leave_out_defaults(content["steps"])
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class PipelineService:
    """Pipelines of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def create(
        self,
        name: str,
        description: str,
        spec: PipelineSpec,
        overlap_policy: OverlapPolicy = OverlapPolicy.SKIP,
    ) -> Pipeline:
        """A pipeline with its first version; the specification must compile."""
        self.actor.require("pipeline:write")
        await self._compile(spec)
        pipeline = Pipeline(
            org_id=self.actor.org_id,
            name=valid_name(name),
            description=description,
            overlap_policy=overlap_policy.value,
        )
        await self._save(pipeline)
        await self._add_version(pipeline, spec)
        await self._audit("pipeline.created", pipeline, new=_summary(pipeline))
        return pipeline

    async def get(self, pipeline_id: int) -> Pipeline:
        """The pipeline; raises :class:`NotFound`, also for another organisation's."""
        self.actor.require("pipeline:read")
        return await self.find(pipeline_id)

    async def list(
        self,
        page: PageRequest = OLDEST,
        *,
        name: str | None = None,
        search: str | None = None,
        is_paused: bool | None = None,
    ) -> RowPage[Pipeline]:
        """The organisation's pipelines; ``search`` is a part of the name."""
        self.actor.require("pipeline:read")
        query = _ROWS.where(Pipeline.org_id == self.actor.org_id, Pipeline.deleted_at.is_(None))
        if name is not None:
            query = query.where(Pipeline.name == name)
        if search is not None:
            query = query.where(contains(Pipeline.name, search))
        if is_paused is not None:
            query = query.where(Pipeline.is_paused == is_paused)
        return await fetch_page(self.session, query, SORTS, page)

    async def shared_tables(self, pipeline_id: int, plan: Plan) -> tuple[str, ...]:
        """What other pipelines of the organisation write, too, of what ``plan`` writes."""
        self.actor.require("pipeline:read")
        return await shared_tables(self.session, self.actor.org_id, pipeline_id, plan)

    async def names(self, pipeline_ids: Collection[int]) -> dict[int, str]:
        """Names by id, of deleted pipelines as well: their runs are still shown."""
        self.actor.require("pipeline:read")
        query = select(Pipeline.id, Pipeline.name).where(
            Pipeline.org_id == self.actor.org_id, Pipeline.id.in_(pipeline_ids)
        )
        return {row.id: row.name for row in await self.session.execute(query)}

    async def current_version(self, pipeline: Pipeline) -> PipelineVersion:
        """The version that the next run will use, for a caller that was given the pipeline."""
        return (await self._current_versions([pipeline]))[pipeline.id]

    async def current_versions(self, pipelines: Sequence[Pipeline]) -> dict[int, PipelineVersion]:
        """The present version of each pipeline, by the pipeline's id."""
        self.actor.require("pipeline:read")
        return await self._current_versions(pipelines)

    async def _current_versions(self, pipelines: Sequence[Pipeline]) -> dict[int, PipelineVersion]:
        ids = [pipeline.current_version_id for pipeline in pipelines]
        query = select(PipelineVersion).where(
            PipelineVersion.org_id == self.actor.org_id, PipelineVersion.id.in_(ids)
        )
        found = (await self.session.execute(query)).scalars()
        return {version.pipeline_id: version for version in found}

    async def versions(self, pipeline_id: int, page: PageRequest) -> RowPage[PipelineVersion]:
        """Every specification that the pipeline ever had."""
        await self.get(pipeline_id)
        query = rows_of(PipelineVersion).where(
            PipelineVersion.org_id == self.actor.org_id,
            PipelineVersion.pipeline_id == pipeline_id,
        )
        return await fetch_page(self.session, query, VERSION_SORTS, page)

    async def restore(self, pipeline_id: int, number: int) -> Pipeline:
        """Make the specification of version ``number`` the present one; see :meth:`update`."""
        self.actor.require("pipeline:write")
        version = await self.session.scalar(
            select(PipelineVersion).where(
                PipelineVersion.org_id == self.actor.org_id,
                PipelineVersion.pipeline_id == pipeline_id,
                PipelineVersion.number == number,
            )
        )
        if version is None:
            raise NotFound("There is no such version.", code="pipeline_version_not_found")
        return await self.update(pipeline_id, spec=PipelineSpec.model_validate(version.spec))

    async def update(
        self,
        pipeline_id: int,
        *,
        name: str | None = None,
        description: str | None = None,
        spec: PipelineSpec | None = None,
        is_paused: bool | None = None,
        overlap_policy: OverlapPolicy | None = None,
        revision: int | None = None,
    ) -> Pipeline:
        """Change what is given. A changed specification becomes a new version."""
        self.actor.require("pipeline:write")
        pipeline = await self.find(pipeline_id, lock=True)
        check_revision(pipeline.revision, revision)
        old = _summary(pipeline)
        if name is not None:
            pipeline.name = valid_name(name)
        if description is not None:
            pipeline.description = description
        switched = is_paused is not None and is_paused != pipeline.is_paused
        if is_paused is not None:
            pipeline.is_paused = is_paused
        if is_paused is False:
            pipeline.pause_code = pipeline.pause_reason = None
            pipeline.consecutive_failures = 0
        if overlap_policy is not None:
            pipeline.overlap_policy = overlap_policy.value
        if spec is not None:
            await self._compile(spec)
            version = await self.session.get(PipelineVersion, pipeline.current_version_id)
            if version is None or version.spec_hash != spec_hash(spec):
                await self._add_version(pipeline, spec)
                await self._release_slots(pipeline, version, spec)
        pipeline.revision += 1
        pipeline.deployed_hash = None
        await self._save(pipeline)
        await self._audit("pipeline.updated", pipeline, old=old, new=_summary(pipeline))
        if switched:
            await notify_switched(self.session, pipeline, paused=pipeline.is_paused)
        return pipeline

    async def delete(self, pipeline_id: int) -> None:
        """Take the pipeline away; its runs stay readable, and nothing depends on it any more."""
        self.actor.require("pipeline:delete")
        await self.find(pipeline_id)
        dependants = [
            one.pipeline_id
            for one in await dependencies_on(self.session, self.actor.org_id, pipeline_id)
        ]
        await lock_pipelines(self.session, [pipeline_id, *dependants])
        pipeline = await self.find(pipeline_id, lock=True)
        pipeline.deleted_at = utcnow()
        pipeline.deployed_hash = None
        await self.session.flush()
        await self._drop_dependencies(pipeline_id)
        await release_waiting(self.session, self.actor.org_id, dependants)
        version = await self.session.get(PipelineVersion, pipeline.current_version_id)
        await self._release_slots(pipeline, version, None)
        await self._audit("pipeline.deleted", pipeline, old=_summary(pipeline))

    async def _release_slots(
        self, pipeline: Pipeline, before: PipelineVersion | None, now: PipelineSpec | None
    ) -> None:
        """Have the replication slots dropped that the pipeline used and does not use any more."""
        if before is None:
            return
        steps = now.model_dump(mode="json")["steps"] if now is not None else ()
        left = set(steps_with_changes(before.spec["steps"])) - set(steps_with_changes(steps))
        await release(self.session, pipeline.org_id, pipeline.id, left)

    async def _drop_dependencies(self, pipeline_id: int) -> None:
        await self.session.execute(
            update(PipelineDependency)
            .where(
                PipelineDependency.org_id == self.actor.org_id,
                or_(
                    PipelineDependency.pipeline_id == pipeline_id,
                    PipelineDependency.upstream_id == pipeline_id,
                ),
                PipelineDependency.deleted_at.is_(None),
            )
            .values(deleted_at=utcnow())
            .execution_options(synchronize_session=False)
        )

    async def plan(self, pipeline_id: int) -> Plan:
        """What a run triggered now would do."""
        pipeline = await self.get(pipeline_id)
        version = await self.current_version(pipeline)
        return await compile_version(self.session, self.actor.org_id, version)

    async def _compile(self, spec: PipelineSpec) -> Plan:
        return await compile_spec(self.session, self.actor.org_id, spec, lock=True)

    async def find(self, pipeline_id: int, *, lock: bool = False) -> Pipeline:
        """The pipeline, for a caller that has checked its own permission; or :class:`NotFound`."""
        query = select(Pipeline).where(
            Pipeline.org_id == self.actor.org_id,
            Pipeline.id == pipeline_id,
            Pipeline.deleted_at.is_(None),
        )
        pipeline = (
            await self.session.execute(query.with_for_update(key_share=True) if lock else query)
        ).scalar_one_or_none()
        if pipeline is None:
            raise NotFound("There is no such pipeline.", code="pipeline_not_found")
        return pipeline

    async def _add_version(self, pipeline: Pipeline, spec: PipelineSpec) -> None:
        last = await self.session.scalar(
            select(func.max(PipelineVersion.number)).where(
                PipelineVersion.pipeline_id == pipeline.id
            )
        )
        version = PipelineVersion(
            org_id=pipeline.org_id,
            pipeline_id=pipeline.id,
            number=(last or 0) + 1,
            spec=spec.model_dump(mode="json"),
            spec_hash=spec_hash(spec),
            created_by=self.actor.user_id,
        )
        self.session.add(version)
        await self.session.flush()
        pipeline.current_version_id = version.id
        pipeline.version = version.number
        await self.session.flush()

    async def _save(self, pipeline: Pipeline) -> None:
        """Write now, so that a taken name is an error of this call."""
        try:
            async with self.session.begin_nested():
                self.session.add(pipeline)
        except IntegrityError:
            raise Conflict(
                "There is already a pipeline with this name.", code="name_taken", field="name"
            ) from None

    async def _audit(
        self,
        action: str,
        pipeline: Pipeline,
        old: dict[str, object] | None = None,
        new: dict[str, object] | None = None,
    ) -> None:
        await record(self.session, self.actor, action, "pipeline", pipeline.id, old=old, new=new)


def _summary(pipeline: Pipeline) -> dict[str, object]:
    return {
        "name": pipeline.name,
        "description": pipeline.description,
        "is_paused": pipeline.is_paused,
        "pause_code": pipeline.pause_code,
        "overlap_policy": pipeline.overlap_policy,
        "version_id": pipeline.current_version_id,
        "revision": pipeline.revision,
    }

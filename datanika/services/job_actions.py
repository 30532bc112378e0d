"""From a job's ids and request to the action that the sandbox does, credentials included."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler import build_project
from datanika.contracts.ad_hoc import (
    AdHocAction,
    CompileAction,
    FormatAction,
    IntrospectAction,
    LintAction,
    PreviewAction,
    ProbeAction,
    QueryAction,
)
from datanika.contracts.catalog import connector_kind
from datanika.contracts.jobs import JobAction
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedTransform
from datanika.errors import InvalidInput, NotFound
from datanika.models import Connection, Transformation, UploadedFile
from datanika.services.connection_service import resolve_connection, resolve_unsaved
from datanika.services.connection_trial import resolve_trial
from datanika.services.job_service import ClaimedJob
from datanika.services.replication_slots import slots_action
from datanika.services.table_owners import owner_name
from datanika.services.transformation_service import load_transformation_specs

COMPILED = ("model", "snapshot", "test")


def check_can_query(connection: Connection) -> None:
    """Raise :class:`InvalidInput` ``query_not_supported`` for a kind without SQL."""
    if not connector_kind(connection.kind).supports_transform:
        raise InvalidInput(
            f"A connection of the kind {connection.kind} has no SQL.",
            code="query_not_supported",
            hint="Preview its tables instead.",
        )


def check_has_slots(connection: Connection) -> None:
    """Raise :class:`InvalidInput` ``slots_not_supported`` for a kind whose log nobody reads."""
    if not connector_kind(connection.kind).gives_changes:
        raise InvalidInput(
            f"A connection of the kind {connection.kind} has no replication slots.",
            code="slots_not_supported",
        )


def check_can_preview(file: UploadedFile) -> None:
    """Raise :class:`InvalidInput` ``preview_not_supported`` for a database in a file."""
    if file.format == "sqlite":
        raise InvalidInput(
            "A SQLite file has tables of its own.",
            code="preview_not_supported",
            hint="Make a connection of the kind sqlite to it, and look into that.",
        )


def check_can_compile(transformation: Transformation) -> None:
    """Raise :class:`InvalidInput` ``compile_not_supported`` for a macro or a seed."""
    if transformation.kind not in COMPILED:
        raise InvalidInput(
            f"A {transformation.kind} has no SQL of its own to compile.",
            code="compile_not_supported",
            hint="Compile a model that uses it.",
        )


def check_can_format(transformation: Transformation) -> None:
    """Raise :class:`InvalidInput` ``format_not_supported`` for what is no SQL."""
    if transformation.kind not in (*COMPILED, "macro"):
        raise InvalidInput(
            f"A {transformation.kind} has no SQL to format.", code="format_not_supported"
        )


async def resolve_action(session: AsyncSession, job: ClaimedJob) -> AdHocAction:
    """What to do, with the credentials it takes. Never an answer, never stored."""
    if job.action in (JobAction.COMPILE_TRANSFORMATION, JobAction.PREVIEW_TRANSFORMATION):
        return await _compile(session, job)
    if job.action is JobAction.FORMAT_TRANSFORMATION:
        return await _format(session, job)
    if job.action is JobAction.LINT_TRANSFORMATION:
        return await _lint(session, job)
    if job.action is JobAction.PREVIEW_FILE:
        return await _preview_file(session, job)
    connection = await _connection(session, job)
    match job.action:
        case JobAction.TEST_CONNECTION:
            return ProbeAction(connection=connection)
        case JobAction.INTROSPECT_CONNECTION:
            return IntrospectAction(connection=connection, **job.request)
        case JobAction.LIST_SLOTS_CONNECTION | JobAction.DROP_SLOTS_CONNECTION:
            drop = job.action is JobAction.DROP_SLOTS_CONNECTION
            return await slots_action(session, job.org_id, connection.id, drop=drop)
        case JobAction.PREVIEW_CONNECTION:
            return PreviewAction(connection=connection, **job.request)
        case _:
            return QueryAction(connection=connection, **job.request)


async def _connection(session: AsyncSession, job: ClaimedJob) -> ResolvedConnection:
    if job.resource_id is not None:
        if job.action is JobAction.TEST_CONNECTION and job.request.get("config") is not None:
            config = job.request["config"]
            return await resolve_trial(session, job.org_id, job.resource_id, config)
        return await resolve_connection(session, job.org_id, job.resource_id)
    return await resolve_unsaved(job.org_id, job.request["kind"], job.request["config"])


async def _preview_file(session: AsyncSession, job: ClaimedJob) -> PreviewAction:
    file = await session.get(UploadedFile, job.resource_id)
    if file is None or file.org_id != job.org_id:
        raise NotFound("The file was deleted.", code="file_not_found")
    config = {"format": file.format, "delimiter": job.request["delimiter"]}
    connection = await resolve_unsaved(job.org_id, "files", config)
    return PreviewAction(connection=connection, table=file.name, limit=job.request["limit"])


# What judges code opens nothing, so it gets no credential and no address.
_NOTHING = ResolvedConnection(id=0, name="nothing", kind="duckdb", config={})


async def _format(session: AsyncSession, job: ClaimedJob) -> FormatAction:
    _, sql = await _code(session, job)
    return FormatAction(connection=_NOTHING, sql=sql)


async def _lint(session: AsyncSession, job: ClaimedJob) -> LintAction:
    transformation, sql = await _code(session, job)
    destination = await session.get_one(Connection, transformation.destination_id)
    siblings = await load_transformation_specs(session, job.org_id, [destination.id])
    macros = {
        one.name: one.sql
        for one in siblings
        if one.kind == "macro" and one.name != transformation.name
    }
    return LintAction(connection=_NOTHING, sql=sql, dialect=destination.kind, macros=macros)


async def _code(session: AsyncSession, job: ClaimedJob) -> tuple[Transformation, str]:
    """The transformation, and its code or the one that came with the request."""
    transformation = await session.get(Transformation, job.resource_id)
    if transformation is None or transformation.deleted_at is not None:
        raise NotFound("The transformation was deleted.", code="transformation_not_found")
    given = job.request.get("sql")
    return transformation, str(transformation.spec["sql"] if given is None else given)


async def _compile(session: AsyncSession, job: ClaimedJob) -> CompileAction:
    org_id = job.org_id
    transformation = await session.get(Transformation, job.resource_id)
    if transformation is None or transformation.deleted_at is not None:
        raise NotFound("The transformation was deleted.", code="transformation_not_found")
    destination = await resolve_connection(session, org_id, transformation.destination_id)
    step = TransformStep(key="compile", destination_id=destination.id)
    name = f"org{org_id}"
    request = dict(job.request)
    sql = request.pop("sql", None)
    specs = await load_transformation_specs(session, org_id, [destination.id])
    if sql is not None:
        # As the editor has it; what reads it is compiled beside it, so the name stays.
        specs = tuple(
            spec.model_copy(update={"sql": sql}) if spec.name == transformation.name else spec
            for spec in specs
        )
    files = build_project(
        name,
        step,
        destination.kind,
        specs,
        # Without loads: the tables that a model reads are sources anyway.
        (),
    )
    return CompileAction(
        step=ResolvedTransform(
            run_id=0,
            attempt=0,
            step=step,
            destination=destination,
            project_name=name,
            files=files,
            owner=await owner_name(session, org_id),
        ),
        model=transformation.name,
        **request,
    )

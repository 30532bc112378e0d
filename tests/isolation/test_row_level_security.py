"""PostgreSQL keeps organisations apart, even from queries that forgot to.

Every test here sends SQL without any filter on the organisation.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import ForeignKeyConstraint, delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, TenantScope, get_engine, get_session
from datanika.models import (
    ApiKey,
    AuditLog,
    Backfill,
    Base,
    CatalogEntry,
    Connection,
    CursorVersion,
    IdempotencyKey,
    Invitation,
    Job,
    LineageEdge,
    LoginSession,
    Membership,
    NotificationChannel,
    NotificationDelivery,
    Organization,
    PendingMail,
    Pipeline,
    PipelineDependency,
    PipelineVersion,
    RefreshToken,
    Run,
    RunLog,
    RunStep,
    Schedule,
    SlotRelease,
    Throttle,
    Transformation,
    TransformationVersion,
    UploadedFile,
    UsageMonth,
    User,
    UserIdentity,
    UserToken,
)
from datanika.models.base import TenantMixin
from datanika.services.audit_service import record
from tests.support.tenants import Tenant, make_tenant

TENANT_MODELS = sorted(
    (m.class_ for m in Base.registry.mappers if issubclass(m.class_, TenantMixin)),
    key=lambda model: model.__name__,
)
APPEND_ONLY = {AuditLog, CursorVersion, PipelineVersion, TransformationVersion}
SYSTEM_ONLY = (PendingMail, RefreshToken, Throttle, UserIdentity, UserToken)
"""Tables of which the application's role sees nothing at all."""


async def fill(tenant: Tenant) -> dict[type, int]:
    """A row in every table; its id by model."""
    org_id, user_id = tenant.org_id, tenant.owner.user_id
    ids: dict[type, int] = {Organization: org_id, User: user_id}
    async with get_session(SYSTEM) as session:

        async def add(row: Any) -> int:
            session.add(row)
            await session.flush()
            ids[type(row)] = row.id
            return int(row.id)

        connection = await add(Connection(org_id=org_id, name="dwh", kind="duckdb", config={}))
        upstream = await add(Pipeline(org_id=org_id, name="hourly"))
        pipeline = await add(Pipeline(org_id=org_id, name="nightly"))
        await add(PipelineDependency(org_id=org_id, pipeline_id=pipeline, upstream_id=upstream))
        await add(
            Backfill(
                org_id=org_id, pipeline_id=pipeline, state="running", chunk_seconds=3600,
                interval_start=utcnow() - dt.timedelta(days=1), interval_end=utcnow(),
            )
        )  # fmt: skip
        version = await add(
            PipelineVersion(
                org_id=org_id, pipeline_id=pipeline, number=1, spec={}, spec_hash="0" * 64
            )
        )
        run = await add(
            Run(
                org_id=org_id, pipeline_id=pipeline, pipeline_version_id=version, state="queued",
                trigger="manual", idempotency_key="k", plan={}, plan_hash="0" * 64,
            )
        )  # fmt: skip
        await add(
            RunStep(
                org_id=org_id, run_id=run, step_key=f"load_{org_id}", name="load", kind="load",
                state="pending", depends_on=[], details={},
            )
        )  # fmt: skip
        await add(
            RunLog(
                org_id=org_id, run_id=run, step_key="load", at=utcnow(), level="info", message="."
            )
        )
        await add(Schedule(org_id=org_id, pipeline_id=pipeline, interval_seconds=60))
        transformation = await add(
            Transformation(
                org_id=org_id, name="stg", kind="model", destination_id=connection, spec={}
            )
        )
        await add(
            TransformationVersion(
                org_id=org_id, transformation_id=transformation, number=1, spec={}
            )
        )
        entry = await add(
            CatalogEntry(
                org_id=org_id, connection_id=connection, schema_name="raw", name="t",
                kind="table", columns=[], upstream=[],
            )
        )  # fmt: skip
        await add(
            SlotRelease(
                org_id=org_id, connection_id=connection, pipeline_id=pipeline, step_key="load",
                slot="datanika_p1_load_0123456789ab", next_attempt_at=utcnow(),
            )
        )  # fmt: skip
        await add(
            LineageEdge(
                org_id=org_id, entry_id=entry, from_connection_id=connection, from_schema="raw",
                from_name="s", kind="reads",
            )
        )  # fmt: skip
        await add(
            ApiKey(
                org_id=org_id, user_id=user_id, name="ci", prefix="dnk_",
                key_hash=f"{org_id:064}", scopes=[],
            )
        )  # fmt: skip
        await add(
            RefreshToken(
                org_id=org_id, user_id=user_id, family="f", token_hash=f"{org_id:064}",
                expires_at=utcnow(),
            )
        )  # fmt: skip
        await add(
            Invitation(
                org_id=org_id, email="new@example.com", role="viewer",
                token_hash=f"{org_id:064}", expires_at=utcnow(),
            )
        )  # fmt: skip
        await add(UsageMonth(org_id=org_id, month=utcnow().date()))
        await add(UploadedFile(org_id=org_id, name="a.csv", format="csv", bytes=1, sha256="0" * 64))
        channel = await add(
            NotificationChannel(
                org_id=org_id, name="ops", kind="webhook", config={}, events=[], pipeline_ids=[]
            )
        )
        await add(
            NotificationDelivery(
                org_id=org_id, channel_id=channel, event_id=f"e{org_id}", event="run.failed",
                payload={}, state="pending", next_attempt_at=utcnow(),
            )
        )  # fmt: skip
        await add(
            CursorVersion(
                org_id=org_id, pipeline_id=pipeline, step_key="load", target="t", number=1,
                cursor_column="at", state={}, origin="run",
            )
        )  # fmt: skip
        await add(
            IdempotencyKey(
                org_id=org_id, key_hash=f"{org_id:064}", request_hash="0" * 64, headers={},
                expires_at=utcnow(),
            )
        )  # fmt: skip
        await add(
            Job(
                org_id=org_id, action="query_connection", state="pending", created_by=user_id,
                expires_at=utcnow(),
            )
        )  # fmt: skip
        await add(UserIdentity(user_id=user_id, provider="github", subject=str(user_id), email="."))
        await add(
            UserToken(
                user_id=user_id, purpose="reset", token_hash=f"{org_id:064}", data={},
                expires_at=utcnow(),
            )
        )  # fmt: skip
        ids[AuditLog] = (await record(session, tenant.owner, "made", "thing", None)).id
        membership = await session.scalar(
            select(Membership.id).where(Membership.user_id == user_id)
        )
        assert membership is not None
        ids[Membership] = membership
    return ids


class Two:
    """Two organisations with a row in every table."""

    def __init__(
        self, ours: Tenant, our_rows: dict[type, int], theirs: Tenant, their_rows: dict[type, int]
    ) -> None:
        self.ours, self.our_rows, self.theirs, self.their_rows = ours, our_rows, theirs, their_rows


@pytest.fixture
async def two(database: Any) -> AsyncIterator[Two]:
    ours, theirs = await make_tenant("Ours"), await make_tenant("Theirs")
    yield Two(ours, await fill(ours), theirs, await fill(theirs))


def test_every_table_with_tenants_rows_is_covered() -> None:
    models = {mapper.class_ for mapper in Base.registry.mappers}
    others = models - set(TENANT_MODELS)
    assert others == {Organization, User, LoginSession, IdempotencyKey, *SYSTEM_ONLY}


async def test_only_the_own_organisations_rows_are_visible(two: Two) -> None:
    async with get_session(two.ours.owner.scope) as session:
        for model in TENANT_MODELS:
            assert [*await session.scalars(select(model.org_id).distinct())] == [two.ours.org_id]
            assert await session.get(model, two.their_rows[model]) is None
        assert [*await session.scalars(select(Organization.id))] == [two.ours.org_id]
        assert [*await session.scalars(select(User.id))] == [two.ours.owner.user_id]


async def test_a_session_without_an_organisation_sees_nothing(two: Two) -> None:
    async with get_session() as session:
        for model in (*TENANT_MODELS, Organization, User):
            assert await session.scalar(select(func.count(model.id))) == 0


async def test_a_connection_that_served_a_tenant_forgets_it(two: Two) -> None:
    """After SET LOCAL the setting is an empty string, not NULL."""
    async with get_engine().connect() as connection:
        await connection.execute(
            text("SELECT set_config('app.org_id', :org, true)"), {"org": str(two.ours.org_id)}
        )
        assert await connection.scalar(select(func.count(Schedule.id))) == 1
        await connection.commit()
        assert await connection.scalar(text("SELECT current_setting('app.org_id')")) == ""
        assert await connection.scalar(select(func.count(Schedule.id))) == 0


@pytest.mark.parametrize("model", TENANT_MODELS, ids=lambda model: model.__name__)
async def test_other_organisations_rows_cannot_be_changed(model: Any, two: Two) -> None:
    async with get_session(two.ours.owner.scope) as session:
        for statement in (
            update(model).values(org_id=two.ours.org_id).where(model.id == two.their_rows[model]),
            delete(model).where(model.id == two.their_rows[model]),
        ):
            try:
                async with session.begin_nested():
                    result = await session.execute(statement)
                assert result.rowcount == 0  # type: ignore[attr-defined]
            except DBAPIError as refused:
                assert "permission denied" in str(refused)
    async with get_session(SYSTEM) as session:
        row = await session.get(model, two.their_rows[model])
        assert row is not None and row.org_id == two.theirs.org_id


@pytest.mark.parametrize("model", TENANT_MODELS, ids=lambda model: model.__name__)
async def test_rows_cannot_be_given_to_another_organisation(model: Any, two: Two) -> None:
    with pytest.raises(DBAPIError, match="row-level security|permission denied"):
        async with get_session(two.ours.owner.scope) as session:
            await session.execute(update(model).values(org_id=two.theirs.org_id))


@pytest.mark.parametrize("model", TENANT_MODELS, ids=lambda model: model.__name__)
async def test_rows_cannot_be_made_in_another_organisation(model: Any, two: Two) -> None:
    columns = ", ".join(
        column.name for column in model.__table__.columns if column.name not in ("id", "org_id")
    )
    copy = text(
        f"INSERT INTO {model.__tablename__} (org_id, {columns}) "
        f"SELECT :theirs, {columns} FROM {model.__tablename__}"
    )
    with pytest.raises(DBAPIError, match="row-level security"):
        async with get_session(two.ours.owner.scope) as session:
            await session.execute(copy, {"theirs": two.theirs.org_id})


@pytest.mark.parametrize("scope", ["tenant", SYSTEM])
@pytest.mark.parametrize("model", sorted(APPEND_ONLY, key=lambda model: model.__name__))
@pytest.mark.parametrize("verb", ["UPDATE {} SET org_id = org_id", "DELETE FROM {}", "TRUNCATE {}"])
async def test_history_cannot_be_rewritten(verb: str, model: Any, scope: str, two: Two) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with get_session(SYSTEM if scope == SYSTEM else two.ours.owner.scope) as session:
            await session.execute(text(verb.format(model.__tablename__)))


async def test_only_the_own_organisations_logins_and_answers_are_visible(two: Two) -> None:
    async with get_session(two.ours.owner.scope) as session:
        users = await session.scalars(select(LoginSession.user_id).distinct())
        assert [*users] == [two.ours.owner.user_id]
        assert [*await session.scalars(select(IdempotencyKey.org_id))] == [two.ours.org_id]


async def test_the_application_cannot_read_what_logs_people_in(two: Two) -> None:
    for query in (
        "SELECT password_hash FROM users",
        "SELECT totp_secret FROM users",
        "SELECT family FROM login_sessions",
        *(f"SELECT * FROM {model.__tablename__}" for model in SYSTEM_ONLY),
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with get_session(two.ours.owner.scope) as session:
                await session.execute(text(query))


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE {owner}",
        "ALTER TABLE runs DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE runs NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON runs",
        "CREATE POLICY mine ON runs USING (true)",
        "ALTER TABLE pipeline_versions DISABLE TRIGGER immutable",
        "CREATE TABLE public.mine (id int)",
        "SET session_replication_role = replica",
        "COPY runs TO PROGRAM 'cat'",
    ],
)
async def test_the_application_cannot_switch_its_limits_off(statement: str, two: Two) -> None:
    async with get_session(two.ours.owner.scope) as session:
        owner = await session.scalar(
            text("SELECT tableowner FROM pg_tables WHERE tablename = 'runs'")
        )
        login = await session.scalar(text("SELECT session_user"))
    assert owner != login
    with pytest.raises(DBAPIError, match="permission denied|must be owner"):
        async with get_session(two.ours.owner.scope) as session:
            await session.execute(text(statement.format(owner=owner)))


async def test_the_application_does_not_inherit_the_system_role(two: Two) -> None:
    """PostgreSQL applies the policies of an inherited role all the time."""
    async with get_session(two.ours.owner.scope) as session:
        for privilege, expected in (("MEMBER", True), ("USAGE", False)):
            assert (
                await session.scalar(
                    text(f"SELECT pg_has_role('datanika_app', 'datanika_system', '{privilege}')")
                )
                is expected
            )


async def test_scopes_do_not_leak_between_transactions_at_once(two: Two) -> None:
    async with (
        get_session(two.ours.owner.scope) as ours,
        get_session(TenantScope(two.theirs.org_id)) as theirs,
        get_session(SYSTEM) as system,
    ):
        assert [*await ours.scalars(select(Run.org_id))] == [two.ours.org_id]
        assert [*await theirs.scalars(select(Run.org_id))] == [two.theirs.org_id]
        assert await system.scalar(select(func.count(Run.id))) == 2


REFERENCES = [
    (model, key)
    for model in TENANT_MODELS
    for key in sorted(model.__table__.foreign_key_constraints, key=lambda key: str(key.name))
    if "org_id" in key.referred_table.c
]


@pytest.mark.parametrize(
    ("model", "key"), REFERENCES, ids=lambda part: getattr(part, "__name__", None) or part.name
)
async def test_a_row_cannot_refer_to_another_organisations_row(
    model: Any, key: ForeignKeyConstraint, two: Two
) -> None:
    """Not even in system scope, where row-level security hides nothing. A reference that ends as
    NULL may be a plain one: clearing both columns of a pair would clear the organisation."""
    if key.ondelete == "SET NULL":
        assert [column.name for column in key.columns] in (
            ["run_id"],
            ["retry_of"],
            ["current_version_id"],
        )
        return
    parent = next(m.class_ for m in Base.registry.mappers if m.local_table is key.referred_table)
    column = next(name for name in key.column_keys if name != "org_id")
    with pytest.raises(DBAPIError, match="foreign key|permission denied"):
        async with get_session(SYSTEM) as session:
            await session.execute(
                update(model)
                .where(model.id == two.our_rows[model])
                .values({column: two.their_rows[parent]})
            )

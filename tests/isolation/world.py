"""One organisation with something of everything, and all who may knock at its door.

A module's tests share it: :func:`undone` runs each case in a transaction that is rolled back.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from datanika import security
from datanika.api import transaction
from datanika.contracts.enums import Role
from datanika.contracts.events import utcnow
from datanika.contracts.spec import PipelineSpec, TransformationSpec
from datanika.db import (
    APP_ROLE,
    SYSTEM,
    SYSTEM_ROLE,
    Scope,
    TenantScope,
    get_engine,
    get_session,
)
from datanika.models import (
    ApiKey,
    Base,
    CatalogEntry,
    CursorVersion,
    Invitation,
    LineageEdge,
    NotificationDelivery,
    Organization,
    PipelineDependency,
    RunLog,
    Schedule,
    SlotRelease,
    Transformation,
    UploadedFile,
    UsageMonth,
    User,
)
from datanika.services.actor import NOWHERE, Actor
from datanika.services.backfill_service import BackfillService
from datanika.services.connection_service import ConnectionService
from datanika.services.login_sessions import LoginSessions, TokenPair
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_recorder import claim_run
from datanika.services.run_service import RunService
from datanika.services.transformation_service import TransformationService
from tests.support.channels import make_channel
from tests.support.net import free_port
from tests.support.pipelines import make_incremental, make_pipeline, two_steps
from tests.support.tenants import Tenant, add_member, make_tenant

PASSWORD = "correct horse battery staple"
UNLIMITED = 10**9


@dataclass
class World:
    """Ids of the organisation's things, under the names that path parameters have."""

    tenant: Tenant
    stranger: Actor
    """The owner of another organisation."""
    members: dict[Role, Actor]
    connection_id: int
    """A source that a pipeline reads."""
    destination_id: int
    file_id: int
    unused_connection_id: int
    transformation_id: int
    pipeline_id: int
    schedule_id: int
    dependency_id: int
    """Of the pipeline, on ``incremental_id``."""
    third_id: int
    """A pipeline that has to do with none."""
    run_id: int
    """Claimed by a worker, with steps and a log line."""
    queued_run_id: int
    ended_run_id: int
    """Cancelled."""
    backfill_id: int
    """Of ``incremental_id``; its first chunk waits."""
    ended_backfill_id: int
    """Cancelled."""
    incremental_id: int
    """A pipeline with a cursor: of the table ``target`` of the step ``step_key``."""
    run_token: str
    flow_run_id: str
    entry_id: int
    api_key_id: int
    invitation_id: int
    mailed_token: str
    """What the invited person finds in their mail."""
    channel_id: int
    delivery_id: int
    cursor_version_id: int
    session_id: int
    """A login of the owner's."""
    refresh_token: str
    number: int = 1
    """Of the pipeline's version."""
    key: str = "load"
    """Of the pipeline's first step."""
    step_key: str = "load"
    target: str = "orders"
    job_id: int = 0
    nothing: int = 10**9
    """The id of nothing."""

    @property
    def org_id(self) -> int:
        return self.tenant.org_id

    @property
    def owner(self) -> Actor:
        return self.tenant.owner

    @property
    def editor_id(self) -> int:
        return self.members[Role.EDITOR].user_id

    @property
    def spec(self) -> PipelineSpec:
        """What the pipeline does."""
        return two_steps(self.connection_id, self.destination_id)


async def make_world() -> World:
    """A new organisation with a row in every table that a route shows."""
    tenant = await make_tenant("Ours")
    owner = tenant.owner
    members = {Role.OWNER: owner}
    for role in (Role.ADMIN, Role.EDITOR, Role.VIEWER):
        members[role] = await add_member(tenant.org_id, role)
    made = await make_pipeline(owner)
    unused = await make_pipeline(owner, "unused")
    flow_run_id = str(uuid.uuid4())
    async with get_session(owner.scope) as session:
        runs = RunService(session, owner)
        running = await runs.trigger(made.id, "running")
        queued = await runs.trigger(made.id, "queued")
        ended = await runs.cancel((await runs.trigger(made.id, "ended")).id)
    async with get_session(owner.scope) as session:
        claim = await claim_run(
            session, org_id=owner.org_id, pipeline_id=made.id, flow_run_id=flow_run_id,
            run_id=running.id,
        )  # fmt: skip
    incremental = await make_incremental(owner)
    third = await make_pipeline(owner, "third")
    backfills = [await _backfill(owner, incremental) for _ in range(2)]
    async with get_session(owner.scope) as session:
        await BackfillService(session, owner).cancel(backfills[1])
    invitation = security.new_token()
    ids = await _rows(owner, made.id, made.destination_id, running.id, incremental, invitation)
    async with get_session(owner.scope) as session:
        await PipelineService(session, owner).delete(unused.id)
        spare = await ConnectionService(session, owner).create("spare", "files", {"format": "csv"})
        models = (await TransformationService(session, owner).list()).rows
    tokens = await login(owner)
    async with get_session(SYSTEM) as session:
        await session.execute(
            text("UPDATE users SET password_hash = :hash WHERE id = :id"),
            {"hash": security.hash_password(PASSWORD), "id": owner.user_id},
        )
    stranger = (await make_tenant("Theirs")).owner
    async with get_session(SYSTEM) as session:
        # Young enough to stand for a password, however long the cases take.
        await session.execute(
            text("UPDATE login_sessions SET created_at = now() + interval '1 day'")
        )
    assert owner.session_id is not None
    return World(
        tenant=tenant,
        stranger=stranger,
        members=members,
        connection_id=made.source_id,
        destination_id=made.destination_id,
        file_id=await _uploaded(tenant.org_id),
        unused_connection_id=spare.id,
        transformation_id=models[0].id,
        pipeline_id=made.id,
        run_id=running.id,
        queued_run_id=queued.id,
        ended_run_id=ended.id,
        backfill_id=backfills[0],
        ended_backfill_id=backfills[1],
        incremental_id=incremental,
        third_id=third.id,
        run_token=claim.token,
        flow_run_id=flow_run_id,
        session_id=owner.session_id,
        refresh_token=tokens.refresh_token,
        mailed_token=f"{invitation}.{security.mailed_proof(invitation)}",
        **ids,
    )


async def _backfill(owner: Actor, pipeline_id: int) -> int:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    async with get_session(owner.scope) as session:
        end = start + dt.timedelta(days=3)
        service = BackfillService(session, owner)
        return (await service.create(pipeline_id, start, end, 86_400)).id


async def _rows(
    owner: Actor,
    pipeline_id: int,
    destination_id: int,
    run_id: int,
    incremental_id: int,
    invitation: str,
) -> dict[str, int]:
    """What no service makes yet, or makes only in a run."""
    org_id = owner.org_id
    # Nothing listens there: what a case sends is refused at once.
    channel, _ = await make_channel(owner, f"http://127.0.0.1:{free_port()}")
    ids = {"channel_id": channel.id}
    async with get_session(SYSTEM) as session:

        async def add(name: str, row: Any) -> int:
            session.add(row)
            await session.flush()
            ids[name] = row.id
            return int(row.id)

        await add(
            "schedule_id", Schedule(org_id=org_id, pipeline_id=pipeline_id, interval_seconds=3600)
        )
        await add(
            "dependency_id",
            PipelineDependency(
                org_id=org_id, pipeline_id=pipeline_id, upstream_id=incremental_id
            ),
        )  # fmt: skip
        await add(
            "entry_id",
            CatalogEntry(
                org_id=org_id, connection_id=destination_id, schema_name="raw", name="orders",
                kind="table", columns=[{"name": "id", "data_type": "bigint", "nullable": True}],
                upstream=[],
            ),
        )  # fmt: skip
        # Who uses it: lineage and impact end there.
        exposure = {"name": "board", "kind": "exposure", "destination_id": destination_id,
                    "exposure": {"sources": [["raw", "orders"]]}}  # fmt: skip
        spec = TransformationSpec.model_validate(exposure).model_dump(mode="json")
        session.add(
            Transformation(
                org_id=org_id, name="board", kind="exposure", destination_id=destination_id,
                spec=spec,
            )
        )  # fmt: skip
        # An incremental model reads itself: whatever is asked of lineage finds something.
        for column, kind in ((None, "reads"), ("id", "copy")):
            session.add(
                LineageEdge(
                    org_id=org_id, entry_id=ids["entry_id"], to_column=column,
                    from_connection_id=destination_id, from_schema="raw", from_name="orders",
                    from_column=column, kind=kind,
                )
            )  # fmt: skip
        await add(
            "api_key_id",
            ApiKey(
                org_id=org_id, user_id=owner.user_id, name="ci", prefix="dnk_abcdef",
                key_hash=secrets.token_hex(32), scopes=["run:read"],
            ),
        )  # fmt: skip
        await add(
            "invitation_id",
            Invitation(
                org_id=org_id, email="new@example.com", role="viewer",
                token_hash=security.hash_token(invitation), invited_by=owner.user_id,
                expires_at=utcnow() + dt.timedelta(days=1),
            ),
        )  # fmt: skip
        await add(
            "delivery_id",
            NotificationDelivery(
                org_id=org_id, channel_id=channel.id, event_id="e1", event="run.failed",
                payload={"event": "run.failed", "event_id": "e1"}, state="failed",
                next_attempt_at=utcnow(),
            ),
        )  # fmt: skip
        await add(
            "cursor_version_id",
            CursorVersion(
                org_id=org_id, pipeline_id=incremental_id, step_key="load", target="orders",
                number=1, cursor_column="at", state={}, origin="run",
            ),
        )  # fmt: skip
        session.add(
            SlotRelease(
                org_id=org_id, connection_id=destination_id, pipeline_id=pipeline_id,
                step_key="load", slot="datanika_p1_load_0123456789ab", next_attempt_at=utcnow(),
            )
        )  # fmt: skip
        session.add(
            UsageMonth(
                org_id=org_id, month=utcnow().date().replace(day=1), rows=7, storage_bytes=7,
                storage_measured_at=utcnow(),
            )
        )  # fmt: skip
        (await session.get_one(Organization, org_id)).max_rows_per_month = 10**9
        session.add(
            RunLog(
                org_id=org_id, run_id=run_id, step_key="load", at=utcnow(), level="info",
                message="loading",
            )
        )  # fmt: skip
    return ids


async def _uploaded(org_id: int) -> int:
    """A file of the organisation that is no more on the disk: an answer to nobody needs it."""
    file = UploadedFile(
        org_id=org_id, name="orders.csv", format="csv", bytes=3, sha256=hashlib.sha256().hexdigest()
    )
    async with get_session(SYSTEM) as session:
        session.add(file)
        await session.flush()
        return file.id


async def login(actor: Actor) -> TokenPair:
    async with get_session(SYSTEM) as session:
        logins = LoginSessions(session)
        return await logins.issue_tokens(
            await logins.open(actor.user_id, "refresh", "password"), actor
        )


async def nowhere_bearer() -> str:
    """An access token of somebody who was in an organisation, and is in none any more."""
    async with get_session(SYSTEM) as session:
        user = User(email=f"nowhere-{secrets.token_hex(6)}@example.com", name="Nobody's")
        session.add(user)
        await session.flush()
        login = await LoginSessions(session).open(user.id, "refresh", "password")
        return security.create_access_token(user.id, NOWHERE, login.id)


def lift_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rate limits, and bcrypt as cheap as it goes: neither is what is tried here."""
    for limiter in (transaction.tenants, transaction.strangers):
        monkeypatch.setattr(limiter, "per_minute", UNLIMITED)
    monkeypatch.setattr(security, "_BCRYPT_ROUNDS", 4)


@asynccontextmanager
async def undone(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncConnection]:
    """Everything the application does until the block ends happens on one connection, and then
    never happened."""
    async with get_engine().connect() as connection:
        outer = await connection.begin()

        def session(_: Any, **options: Any) -> AsyncSession:
            return AsyncSession(connection, join_transaction_mode="create_savepoint", **options)

        with monkeypatch.context() as patch:
            patch.setattr("datanika.db.AsyncSession", session)
            # The transaction has begun already: the scope cannot come with its beginning.
            for name in ("datanika.db._connect", "datanika.api.transaction.enter"):
                patch.setattr(name, _enter)
            yield connection
        await outer.rollback()


async def _enter(session: AsyncSession, scope: Scope) -> None:
    role = SYSTEM_ROLE if scope == SYSTEM else APP_ROLE
    await session.execute(
        text("SELECT set_config('role', :role, true), set_config('app.org_id', :org, true)"),
        {"role": role, "org": str(scope.org_id) if isinstance(scope, TenantScope) else ""},
    )


_TABLES = " UNION ALL ".join(
    f"SELECT '{name}', md5(coalesce(string_agg(t::text, '|' ORDER BY t.id), '')) FROM {name} t"
    for name in sorted(Base.metadata.tables)
)


async def contents(connection: AsyncConnection) -> dict[str, str]:
    """A digest of every table's rows, those of all organisations."""
    await connection.execute(text(f"SET LOCAL ROLE {SYSTEM_ROLE}"))
    return {name: digest for name, digest in await connection.execute(text(_TABLES))}

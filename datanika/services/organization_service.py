"""Organisations: a person's own list of them, and the one that the actor is in."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.config import settings
from datanika.contracts.base import Contract
from datanika.contracts.enums import Role, RunState
from datanika.contracts.events import utcnow
from datanika.db import system_scope
from datanika.errors import InvalidInput, LimitReached, NotFound, PermissionDenied
from datanika.models import Membership, Organization, Pipeline, Run
from datanika.services.actor import Actor, prove_membership, require_person
from datanika.services.audit_service import record
from datanika.services.auth import organization_slug
from datanika.services.limits import LIMITS, Limits, default_limits
from datanika.services.run_lifecycle import close_run
from datanika.services.run_rows import FINAL_STATES, lock_run, move, state_of
from datanika.services.slot_releases import release_all
from datanika.services.validation import check_revision, valid_name


class OwnOrganization(Contract):
    """An organisation that somebody is a member of, and as what."""

    id: int
    name: str
    slug: str
    role: Role


class OrganizationService:
    """The actor's organisation, and the others of the same person."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def mine(self) -> Sequence[OwnOrganization]:
        """Where the actor is a member, in the order of joining. A key knows only its own."""
        query = (
            select(Organization.id, Organization.name, Organization.slug, Membership.role)
            .join(Membership, Membership.org_id == Organization.id)
            .where(
                Membership.user_id == self.actor.user_id,
                Membership.deleted_at.is_(None),
                Organization.deleted_at.is_(None),
            )
            .order_by(Membership.id)
        )
        if self.actor.api_key_id is not None:
            query = query.where(Organization.id == self.actor.org_id)
        async with system_scope(self.session, self.actor.scope):
            rows = (await self.session.execute(query)).all()
        return [OwnOrganization.model_validate(dict(row._mapping)) for row in rows]

    async def create(self, name: str) -> Organization:
        """Another organisation, which the actor owns. Raises :class:`LimitReached`."""
        require_person(self.actor)
        name = valid_name(name)
        async with system_scope(self.session, self.actor.scope):
            # One at a time for each person, or the count would be of no use.
            await self.session.execute(
                select(
                    func.pg_advisory_xact_lock(
                        func.hashtextextended(f"organizations of {self.actor.user_id}", 0)
                    )
                )
            )
            owned = await self.session.scalar(
                select(func.count())
                .select_from(Membership)
                .join(Organization, Organization.id == Membership.org_id)
                .where(
                    Membership.user_id == self.actor.user_id,
                    Membership.role == Role.OWNER,
                    Membership.deleted_at.is_(None),
                    Organization.deleted_at.is_(None),
                )
            )
            if (owned or 0) >= settings.max_organizations_per_user:
                raise LimitReached(
                    f"You own {owned} organisations, which is the most that one person may.",
                    hint="Delete one that you no longer need, or ask the operator.",
                )
            organization = Organization(name=name, slug=organization_slug(name))
            self.session.add(organization)
            await self.session.flush()
            self.session.add(
                Membership(
                    org_id=organization.id, user_id=self.actor.user_id, role=Role.OWNER.value
                )
            )
            await self.session.flush()
            owner = await prove_membership(self.session, self.actor.user_id, organization.id)
            await record(
                self.session, owner, "organization.created", "organization", organization.id,
                new={"name": name, "owner": self.actor.email},
            )  # fmt: skip
        return organization

    async def get(self) -> Organization:
        """The organisation that the actor is in."""
        self.actor.require("organization:read")
        return await self._find()

    async def update(
        self,
        *,
        name: str | None = None,
        limits: dict[str, int | None] | None = None,
        revision: int | None = None,
    ) -> Organization:
        """Change the name and the limits that are given; None as a limit is the platform's own.

        Raises :class:`PermissionDenied` ``limit_above_platform`` where only an operator may go.
        """
        self.actor.require("organization:update")
        organization = await self._find(lock=True)
        check_revision(organization.revision, revision)
        old = _snapshot(organization)
        if name is not None:
            organization.name = valid_name(name)
        for limit, value in (limits or {}).items():
            self._check_limit(limit, value, default_limits())
            setattr(organization, limit, value)
        organization.revision += 1
        await self.session.flush()
        await record(
            self.session, self.actor, "organization.updated", "organization", organization.id,
            old=old, new=_snapshot(organization),
        )  # fmt: skip
        return organization

    async def delete(self, revision: int | None = None) -> Sequence[str]:
        """Everybody is out at once, nothing starts any more, and what runs is told to stop.

        The rows stay until the purge; the flow runs that Prefect should be told to cancel.
        """
        self.actor.require("organization:delete")
        # Locks in everybody's order: pipelines, runs, the organisation (which entries of the
        # audit log lock).
        await redeploy_everything(self.session, self.actor.org_id)
        stopped = await self._stop_runs()
        await release_all(self.session, self.actor.org_id)
        organization = await self._find(lock=True)
        check_revision(organization.revision, revision)
        organization.deleted_at = utcnow()
        await self.session.flush()
        await record(
            self.session, self.actor, "organization.deleted", "organization", organization.id,
            old=_snapshot(organization),
        )  # fmt: skip
        return stopped

    async def _find(self, *, lock: bool = False) -> Organization:
        query = select(Organization).where(
            Organization.id == self.actor.org_id, Organization.deleted_at.is_(None)
        )
        if lock:
            query = query.with_for_update(key_share=True)
        organization = await self.session.scalar(query.execution_options(populate_existing=True))
        if organization is None:
            raise NotFound("There is no such organisation.", code="organization_not_found")
        return organization

    def _check_limit(self, name: str, value: int | None, ceiling: Limits) -> None:
        if name not in LIMITS:
            raise InvalidInput(f"There is no limit {name!r}.", code="limit_unknown", field=name)
        highest = getattr(ceiling, name)
        if value is None or self.actor.is_operator or highest is None or value <= highest:
            return
        raise PermissionDenied(
            f"{name} may be at most {highest} on this platform.",
            code="limit_above_platform",
            field=name,
            hint="Ask an operator of the platform to raise it.",
        )

    async def _stop_runs(self) -> Sequence[str]:
        ids = await self.session.scalars(
            select(Run.id)
            .where(Run.org_id == self.actor.org_id, Run.state.not_in(FINAL_STATES))
            .order_by(Run.id)
        )
        flow_runs = []
        for run_id in ids.all():
            run = await lock_run(self.session, run_id)
            if run is None or state_of(run).is_final:
                continue
            if state_of(run) is RunState.QUEUED:
                await close_run(self.session, run, RunState.CANCELLED)
            elif state_of(run) is not RunState.CANCELLING:
                move(run, RunState.CANCELLING)
            if run.flow_run_id is not None:
                flow_runs.append(run.flow_run_id)
        await self.session.flush()
        return flow_runs


async def redeploy_everything(session: AsyncSession, org_id: int) -> None:
    """Have the reconciler bring every pipeline's deployment to what it should be now."""
    await session.execute(
        update(Pipeline)
        .where(Pipeline.org_id == org_id)
        .values(deployed_hash=None, updated_at=Pipeline.updated_at)
        .execution_options(synchronize_session=False)
    )


def _snapshot(organization: Organization) -> dict[str, object]:
    return {"name": organization.name} | {name: getattr(organization, name) for name in LIMITS}

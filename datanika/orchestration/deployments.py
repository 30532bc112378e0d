"""What the platform deploys to Prefect: one deployment a pipeline, and its own maintenance.

prefect.yaml says the same of the maintenance deployments; a test compares the two.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from datanika.contracts.base import Contract
from datanika.contracts.schedule import ANCHOR, ScheduleSpec
from datanika.orchestration.clock_shifts import missed_by, one_shots

if TYPE_CHECKING:
    from prefect.client.schemas.actions import DeploymentScheduleCreate

HOUR = dt.timedelta(hours=1)
TENANT_FLOW = "tenant-pipeline"


class FlowDeployment(Contract):
    """A deployment as Prefect should have it. Ids only: never a name, SQL or a credential."""

    flow_name: str
    name: str
    entrypoint: str
    parameters: dict[str, int] = {}
    tags: tuple[str, ...] = ()
    schedules: tuple[ScheduleSpec, ...] = ()
    near_shifts: tuple[dt.datetime, ...] = ()
    paused: bool = False
    content_hash: str = ""

    @property
    def version(self) -> str:
        """A hash of all of it: an unchanged deployment is recognised by its version."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def prefect_schedules(self) -> list[DeploymentScheduleCreate]:
        """Its schedules in Prefect's types, and the times that Prefect would not make of them."""
        from prefect.client.schemas.actions import DeploymentScheduleCreate

        made = [
            DeploymentScheduleCreate(schedule=_prefect_schedule(spec), active=spec.active)
            for spec in self.schedules
        ]
        missed = missed_by(
            [one.schedule for one in made if one.active and one.schedule], self.near_shifts
        )
        return made + [DeploymentScheduleCreate(schedule=one) for one in one_shots(missed)]


def pipeline_name(pipeline_id: int) -> str:
    """The name of a pipeline's deployment."""
    return f"pipeline-{pipeline_id}"


class DeploymentRequest(Contract):
    """A pipeline that Prefect should be able to run. ``name`` is for logs only.

    ``near_shifts`` are the times, in order, at which it has to run around the coming shifts of its
    zones' clocks: Prefect skips a time that comes twice, and moves one that does not exist.
    """

    org_id: int
    pipeline_id: int
    name: str
    plan_hash: str
    schedules: tuple[ScheduleSpec, ...] = ()
    near_shifts: tuple[dt.datetime, ...] = ()
    paused: bool = False

    def as_deployment(self) -> FlowDeployment:
        return FlowDeployment(
            flow_name=TENANT_FLOW,
            name=pipeline_name(self.pipeline_id),
            entrypoint="flows.tenant_pipeline.tenant_pipeline",
            parameters={"org_id": self.org_id, "pipeline_id": self.pipeline_id},
            tags=(f"org:{self.org_id}", f"pipeline:{self.pipeline_id}"),
            schedules=self.schedules,
            near_shifts=self.near_shifts,
            paused=self.paused,
            content_hash=self.plan_hash,
        )


def _prefect_schedule(spec: ScheduleSpec) -> Any:
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

    if spec.interval_seconds is not None:
        return IntervalSchedule(
            interval=dt.timedelta(seconds=spec.interval_seconds),
            anchor_date=ANCHOR,
            # In a zone, Prefect counts days by its clock.
            timezone="UTC",
        )
    cron = spec.cron or ""
    zone = "UTC" if _is_the_same_in_utc(cron, spec.timezone) else spec.timezone
    return CronSchedule(cron=cron, timezone=zone)


def _is_the_same_in_utc(cron: str, timezone: str) -> bool:
    """Whether a cron of every hour fires at the same instants when read in UTC.

    Prefect reads it as local times, so a local hour that comes twice in autumn fires only once.
    """
    fields = cron.split()
    if len(fields) != 5 or fields[1:] != ["*"] * 4:
        return False
    offsets = [
        dt.datetime(2026, month, 1, tzinfo=ZoneInfo(timezone)).utcoffset() for month in range(1, 13)
    ]
    return all(offset is not None and offset % HOUR == dt.timedelta() for offset in offsets)


MAINTENANCE = (
    FlowDeployment(
        flow_name="datanika-reconcile",
        name="reconcile",
        entrypoint="flows.maintenance.reconcile",
        tags=("maintenance",),
        schedules=(ScheduleSpec(interval_seconds=60),),
    ),
    FlowDeployment(
        flow_name="datanika-sweep",
        name="sweep",
        entrypoint="flows.maintenance.sweep",
        tags=("maintenance",),
        schedules=(ScheduleSpec(cron="41 * * * *", timezone="UTC"),),
    ),
    FlowDeployment(
        flow_name="datanika-retention",
        name="retention",
        entrypoint="flows.maintenance.retention",
        tags=("maintenance",),
        schedules=(ScheduleSpec(cron="17 3 * * *", timezone="UTC"),),
    ),
)

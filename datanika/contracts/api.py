"""What the REST API answers and takes: one description for the server and the typed client."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datanika.contracts.enums import Role, RunState, RunTrigger, StepState
from datanika.contracts.plan import Plan
from datanika.contracts.spec import PipelineSpec, TransformationSpec


class _Body(BaseModel):
    """What a client sends: a field that does not exist is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")


class _Answer(BaseModel):
    """What the server says. A client of an older version ignores what is new."""

    model_config = ConfigDict(from_attributes=True)


class Page[T](_Answer):
    """One page of a list. ``next_cursor`` goes into ``?cursor=``; null at the end."""

    items: list[T]
    next_cursor: str | None = None


class Problem(_Answer):
    """An error, as RFC 9457 wants it, with a stable ``code`` and the way out in ``hint``."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None
    field: str | None = None
    request_id: str | None = None


class RegisterIn(_Body):
    email: str = Field(max_length=320, examples=["ada@example.com"])
    password: str = Field(repr=False, examples=["correct horse battery staple"])
    name: str = Field(min_length=1, max_length=200, examples=["Ada Lovelace"])
    organization_name: str = Field(min_length=1, max_length=200, examples=["Analytical Engines"])


class LoginIn(_Body):
    email: str = Field(max_length=320, examples=["ada@example.com"])
    password: str = Field(repr=False, examples=["correct horse battery staple"])
    org_id: int | None = Field(default=None, description="Of several organisations, this one.")


class RefreshIn(_Body):
    refresh_token: str = Field(repr=False)


class TokensOut(_Answer):
    access_token: str = Field(repr=False, description="Send it as `Authorization: Bearer …`.")
    refresh_token: str = Field(repr=False, description="Good for one refresh.")
    token_type: str = "bearer"
    expires_in: int = Field(description="Seconds until the access token ends.")
    org_id: int


class RegisteredOut(_Answer):
    user_id: int
    org_id: int


class SessionOut(_Answer):
    org_id: int
    expires_at: dt.datetime


class MeOut(_Answer):
    user_id: int
    email: str
    org_id: int
    organization: str
    role: Role
    permissions: list[str]


class ApiKeyIn(_Body):
    name: str = Field(min_length=1, max_length=200, examples=["nightly trigger"])
    scopes: list[str] = Field(min_length=1, examples=[["run:trigger", "run:read"]])
    expires_at: dt.datetime | None = None


class ApiKeyOut(_Answer):
    id: int
    name: str
    prefix: str
    scopes: list[str]
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None
    created_at: dt.datetime


class ApiKeyCreatedOut(ApiKeyOut):
    key: str = Field(repr=False, description="Shown this once.")


class ConnectionIn(_Body):
    name: str = Field(min_length=1, max_length=200, examples=["warehouse"])
    kind: str = Field(examples=["postgres"])
    description: str = ""
    config: dict[str, Any] = Field(
        repr=False,
        description="As the kind's `config_schema` says; secrets included.",
        examples=[
            {
                "host": "db.example.com",
                "port": 5432,
                "database": "warehouse",
                "user": "loader",
                "password": "…",
            }
        ],
    )


class ConnectionPatch(_Body):
    """``config`` replaces the whole configuration; secrets left out keep their value."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = None
    config: dict[str, Any] | None = Field(default=None, repr=False)
    revision: int | None = Field(default=None, description="Refuse if somebody changed it since.")


class ConnectionOut(_Answer):
    """Never a secret: ``secrets`` names those that are set."""

    id: int
    name: str
    kind: str
    description: str
    config: dict[str, Any]
    secrets: list[str]
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime


class PipelineIn(_Body):
    name: str = Field(min_length=1, max_length=200, examples=["orders"])
    description: str = ""
    spec: PipelineSpec


class PipelinePatch(_Body):
    name: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = None
    spec: PipelineSpec | None = None
    is_paused: bool | None = Field(default=None, description="A paused one runs by hand only.")
    revision: int | None = Field(default=None, description="Refuse if somebody changed it since.")


class PipelineOut(_Answer):
    id: int
    name: str
    description: str
    is_paused: bool
    revision: int
    version: int = Field(description="Number of the present specification.")
    spec: PipelineSpec
    is_deployed: bool = Field(description="Whether Prefect has the present version.")
    created_at: dt.datetime
    updated_at: dt.datetime


class PlanOut(_Answer):
    """The compiled plan, and the same in words and as a Mermaid graph."""

    plan: Plan
    hash: str
    text: str
    mermaid: str
    warnings: list[str]


class TransformationOut(_Answer):
    id: int
    name: str
    kind: str
    destination_id: int
    description: str
    spec: TransformationSpec
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime


class ScheduleIn(_Body):
    pipeline_id: int
    cron: str | None = Field(default=None, examples=["0 6 * * *"])
    interval_seconds: int | None = None
    timezone: str = Field(default="UTC", examples=["Europe/Berlin"])
    is_active: bool = True


class SchedulePatch(_Body):
    cron: str | None = None
    interval_seconds: int | None = None
    timezone: str | None = None
    is_active: bool | None = None
    revision: int | None = Field(default=None, description="Refuse if somebody changed it since.")


class ScheduleOut(_Answer):
    id: int
    pipeline_id: int
    cron: str | None
    interval_seconds: int | None
    timezone: str
    is_active: bool
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime


class RunOut(_Answer):
    id: int
    pipeline_id: int
    pipeline_version_id: int
    state: RunState
    trigger: RunTrigger
    triggered_by: int | None
    idempotency_key: str
    plan_hash: str
    flow_run_id: str | None = Field(description="The run's id in Prefect.")
    attempt: int
    rows: int | None
    error_code: str | None
    error_message: str | None
    error_hint: str | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


class RunStepOut(_Answer):
    """A step of the plan (``node`` empty), or a table or dbt node inside one."""

    step_key: str
    node: str
    name: str
    kind: str
    state: StepState
    attempt: int
    depends_on: list[str]
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    duration_seconds: float | None
    rows: int | None
    rows_total: int | None
    bytes: int | None
    relation: str | None
    error_code: str | None
    error_message: str | None
    error_hint: str | None
    details: dict[str, Any]


class LogOut(_Answer):
    id: int
    at: dt.datetime
    level: str
    step_key: str
    node: str | None
    message: str


class CatalogEntryOut(_Answer):
    id: int
    connection_id: int
    schema_name: str
    name: str
    kind: str
    columns: list[Any]
    upstream: list[str]
    rows: int | None
    run_id: int | None
    refreshed_at: dt.datetime | None


class AuditOut(_Answer):
    id: int
    at: dt.datetime
    actor: str
    user_id: int | None
    action: str
    resource_type: str
    resource_id: int | None
    old: dict[str, Any] | None
    new: dict[str, Any] | None


class JobOut(_Answer):
    """An ad hoc job: ``state`` is pending, running, succeeded or failed."""

    id: str
    state: str
    result: dict[str, Any] | None = None

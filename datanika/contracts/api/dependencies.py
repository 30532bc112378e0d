"""Which pipelines need which others."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.text import WHOLE, Flag, RowId

_YEAR = 366 * 86_400
Within = Annotated[int, Field(ge=1, le=_YEAR, strict=True), WHOLE]
Wait = Annotated[int, Field(ge=0, le=_YEAR, strict=True), WHOLE]


class DependencyIn(Body):
    upstream_id: RowId = Field(description="The pipeline that must succeed first.")
    starts_run: Flag = Field(
        default=True,
        description="A success of the upstream starts a run; with several such upstreams, the "
        "success of the last of them.",
    )
    within_seconds: Within | None = Field(
        default=None,
        description="A run starts only if the upstream's last success is at most so old.",
        examples=[86_400],
    )
    wait_seconds: Wait = Field(
        default=3600,
        description="How long a run waits for the upstream's success before it ends as "
        "`upstream_stale`.",
    )


class DependencyPatch(Body):
    starts_run: Flag = True
    within_seconds: Within | None = Field(default=None, description="null: however old.")
    wait_seconds: Wait = 3600


class DependencyOut(Answer):
    id: int
    pipeline_id: int
    pipeline_name: str
    upstream_id: int
    upstream_name: str
    starts_run: bool
    within_seconds: int | None
    wait_seconds: int
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime


class UpstreamReadinessOut(Answer):
    """An upstream as a run triggered now would find it."""

    dependency_id: int
    upstream_id: int
    upstream_name: str
    starts_run: bool
    within_seconds: int | None
    wait_seconds: int
    last_success_run_id: int | None
    last_success_at: dt.datetime | None
    age_seconds: int | None
    is_fresh: bool
    text: str


class ReadinessOut(Answer):
    """What a run triggered now would wait for: as data and in words."""

    pipeline_id: int
    is_ready: bool
    waits_until: dt.datetime | None = Field(description="When it would end as `upstream_stale`.")
    text: str
    upstreams: list[UpstreamReadinessOut]

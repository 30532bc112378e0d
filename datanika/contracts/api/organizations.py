"""Organisations, their members, invitations and use."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import Field

from datanika.contracts.api.base import Answer, Body
from datanika.contracts.enums import Role
from datanika.contracts.text import WHOLE, Name, RowId

MAX_LIMIT = 2**53
"""The largest integer that every JSON reader keeps."""
Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT, strict=True), WHOLE]
Runs = Annotated[int, Field(ge=1, le=MAX_LIMIT, strict=True), WHOLE]
_NULL = " Null: the platform's own limit."


class LimitsOut(Answer):
    """What holds now: the organisation's own limits, else the platform's; null is no limit."""

    max_concurrent_runs: int | None
    max_connections: int | None
    max_rows_per_month: int | None
    max_storage_bytes: int | None


class OrganizationItem(Answer):
    """An organisation of yours."""

    id: int
    name: str
    slug: str
    role: Role
    is_current: bool = Field(description="Whether this credential is of this organisation.")


class OrganizationIn(Body):
    name: Name = Field(examples=["Analytical Engines"])


class OrganizationPatch(Body):
    """What is left out stays. A limit that is null becomes the platform's own; the owner may set
    any up to that one, and an operator of the platform any."""

    name: Name | None = Field(default=None, examples=["renamed"])
    max_concurrent_runs: Runs | None = Field(
        default=None,
        description=f"Runs at once.{_NULL}",
        examples=[5],
    )
    max_connections: Limit | None = Field(
        default=None,
        description=f"Connections.{_NULL}",
        examples=[50],
    )
    max_rows_per_month: Limit | None = Field(
        default=None,
        description=f"Rows loaded in a calendar month, UTC.{_NULL}",
        examples=[10_000_000],
    )
    max_storage_bytes: Limit | None = Field(
        default=None,
        description=f"Bytes of files and local warehouses.{_NULL}",
        examples=[50_000_000_000],
    )


class OrganizationOut(Answer):
    """``max_…`` are the organisation's own limits; ``limits`` is what holds."""

    id: int
    name: str
    slug: str
    max_concurrent_runs: int | None
    max_connections: int | None
    max_rows_per_month: int | None
    max_storage_bytes: int | None
    limits: LimitsOut
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime


class SwitchIn(Body):
    org_id: RowId = Field(description="One of `GET /organizations`.")
    refresh_token: str = Field(
        repr=False, max_length=200, description="Used up, as by a refresh, if the switch succeeds."
    )


class SessionSwitchIn(Body):
    org_id: RowId = Field(description="One of `GET /organizations`.")


class MemberOut(Answer):
    user_id: int
    email: str
    name: str
    role: Role
    joined_at: dt.datetime
    revision: int = Field(description="Of the membership; each change of it has another.")


class MemberPatch(Body):
    role: Role = Field(description="Below your own. Ownership moves only by transfer.")


class TransferIn(Body):
    user_id: int = Field(description="The member who becomes the owner.")


class InvitationIn(Body):
    email: str = Field(min_length=3, max_length=320, examples=["grace@example.com"])
    role: Role = Field(description="Below your own.", examples=["editor"])


class InvitationOut(Answer):
    id: int
    email: str
    role: Role
    invited_by: int | None
    created_at: dt.datetime
    expires_at: dt.datetime


class InvitationSentOut(InvitationOut):
    """``link`` is shown this once: it may be handed to the invited person, who accepts it logged
    in with that address."""

    link: str = Field(repr=False)


class AcceptIn(Body):
    token: str = Field(min_length=1, max_length=200, repr=False, description="From the link.")


class JoinIn(AcceptIn):
    name: Name = Field(examples=["Grace Hopper"])
    password: str = Field(repr=False, examples=["correct horse battery staple"])


class JoinedOut(Answer):
    user_id: int
    org_id: int
    role: Role


class FigureOut(Answer):
    """What is used of what may be; ``limit`` null is no limit."""

    used: int
    limit: int | None


class MonthOfUseOut(Answer):
    month: dt.date = Field(description="Its first day.")
    runs: int = Field(description="Runs that ended in it.")
    failed_runs: int
    rows: int = Field(description="Rows loaded by them.")
    run_seconds: int
    storage_bytes: int = Field(description="Of files and local warehouses, as measured last in it.")


class UsageOut(Answer):
    """Now, and in this calendar month (UTC)."""

    month: dt.date
    resets_at: dt.datetime = Field(description="When `rows` starts at 0 again.")
    concurrent_runs: FigureOut
    connections: FigureOut
    rows: FigureOut
    storage_bytes: FigureOut
    storage_measured_at: dt.datetime | None = Field(
        description="Storage is measured every few minutes."
    )
    history: list[MonthOfUseOut] = Field(description="The newest month first.")

"""The organisation itself: its name, limits and use, and its end."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import reflex as rx

from datanika.contracts.api import OrganizationPatch
from datanika.errors import InvalidInput
from datanika.services.deployer import cancel_flow_run
from datanika.services.limits import LIMITS, default_limits
from datanika.services.organization_service import OrganizationService
from datanika.services.usage_service import UsageService
from datanika.ui.state.given import later, read, texts
from datanika.ui.state.tenant import TenantState
from datanika.ui.views import iso
from datanika.ui.views.settings import Meter, MonthBar, meters, month_bars

STORAGE_LIMIT = "max_storage_bytes"
"""Typed and shown in GB (10^9 bytes), the other limits as they are."""
GIGABYTE = 10**9


class OrganizationState(TenantState):
    """``limits``: the organisation's own, as the form shows them; ``ceilings`` the platform's."""

    name: str = ""
    slug: str = ""
    revision: int = 0
    limits: dict[str, str] = {}
    ceilings: dict[str, str] = {}
    meters: list[Meter] = []
    months: list[MonthBar] = []
    resets_at: str | None = None
    is_deleting: bool = False
    to_load: str = ""

    @rx.event
    async def load_organization(self) -> None:
        self._clear_error()
        self.is_deleting, self.to_load = False, ""
        await self._load()

    @rx.event
    async def save(self, form: dict[str, Any]) -> None:
        """Rename it and set its limits; an empty one becomes the platform's own."""
        async with self._attempt() as (session, actor):
            given = texts(form, "name", *LIMITS)
            # No name at all is not "leave it".
            body = read(
                OrganizationPatch,
                {"name": given.get("name", "")}
                | {name: limit_of(name, given[name]) for name in LIMITS if name in given},
            )
            await OrganizationService(session, actor).update(
                name=body.name,
                limits={name: getattr(body, name) for name in LIMITS},
                revision=self.revision,
            )
        if not self.error:
            self._succeed("organization.saved")
            await self._load()

    @rx.event
    def ask_to_delete(self) -> None:
        self.is_deleting = True

    @rx.event
    def close_question(self) -> None:
        self.is_deleting = False

    @rx.event
    async def delete(self, form: dict[str, Any]) -> None:
        """End the organisation, if its name was typed."""
        stopped: list[str] = []
        async with self._attempt() as (session, actor):
            service = OrganizationService(session, actor)
            organization = await service.get()
            if str(form.get("confirm") or "").strip() != organization.name:
                raise InvalidInput(
                    "This is not the organisation's name.", code="not_confirmed", field="confirm"
                )
            await self._go_on_elsewhere(session, actor)
            stopped = list(await service.delete())
        if self.error:
            return
        for flow_run_id in stopped:
            later(cancel_flow_run(flow_run_id))
        self.to_load = "/"

    async def _load(self) -> None:
        async with self._attempt() as (session, actor):
            row = await OrganizationService(session, actor).get()
            usage = await UsageService(session, actor).read()
            self.name, self.slug, self.revision = row.name, row.slug, row.revision
            self.limits = {name: shown_limit(name, getattr(row, name)) for name in LIMITS}
            platform = default_limits()
            self.ceilings = {name: shown_limit(name, getattr(platform, name)) for name in LIMITS}
            self.meters, self.months = meters(usage), month_bars(usage.history)
            self.resets_at = iso(usage.resets_at)


def whole(field: str, text: str) -> int:
    """The number in a field; raises :class:`InvalidInput`."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise InvalidInput("This is not a whole number.", field=field)


def limit_of(name: str, text: str) -> int:
    """The limit ``name`` as it was typed; raises :class:`InvalidInput`."""
    if name != STORAGE_LIMIT:
        return whole(name, text)
    try:
        gigabytes = Decimal(text.replace(",", "."))
    except InvalidOperation:
        gigabytes = Decimal("NaN")
    # Not more than the column holds; NaN is in no range.
    if gigabytes.is_nan() or not 0 <= gigabytes < 10**9:
        raise InvalidInput("This is not a number of gigabytes.", field=name)
    return int(gigabytes * GIGABYTE)


def shown_limit(name: str, value: int | None) -> str:
    """What the field of the limit ``name`` shows; "" for none."""
    if value is None:
        return ""
    return f"{Decimal(value) / GIGABYTE:f}" if name == STORAGE_LIMIT else str(value)

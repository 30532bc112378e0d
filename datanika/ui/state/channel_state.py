"""Notification channels, their rules, and what became of their messages."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.contracts.api import NotificationChannelPatch
from datanika.contracts.notifications import ChannelKind, DeliveryState, NotificationEvent
from datanika.db import get_session
from datanika.errors import DatanikaError, InvalidInput
from datanika.services.delivery import deliver_one
from datanika.services.notification_log import NotificationLog
from datanika.services.notification_service import NotificationService
from datanika.services.paging import PageRequest
from datanika.services.pipeline_service import PipelineService
from datanika.ui.session import actor_of
from datanika.ui.state.given import an_id, read, secret, texts, ticked
from datanika.ui.state.paged import Paged
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.settings import ChannelRow, DeliveryRow, channel_row, delivery_row

PAGE_SIZE = 25
MOST_PIPELINES = 200
EVENT, PIPELINE = "event_", "pipeline_"
KINDS = tuple(kind.value for kind in ChannelKind)
EVENTS = tuple(event.value for event in NotificationEvent)


class ChannelState(Paged, TenantState):
    """``form`` is the channel in the dialog (id 0: a new one) of the kind ``form_kind``;
    ``shown_secret`` the signing secret that was just made."""

    channels: list[ChannelRow] = []
    deliveries: list[DeliveryRow] = []
    pipelines: list[dict[str, str]] = []
    is_empty: bool = False
    is_editing: bool = False
    form: ChannelRow = ChannelRow(0, "", "", "", [], [], [], True, True, 0)
    form_kind: str = ""
    shown_secret: str = ""
    asked: str = ""
    asked_id: int = 0
    asked_name: str = ""
    state_filter: str = ""
    testing: int = 0

    @rx.event
    async def load_channels(self) -> None:
        self._clear_error()
        self.state_filter, self.testing = "", 0
        self._first_page()
        self._close()
        await self._load()

    @rx.event
    def new_channel(self) -> None:
        """Open the form of a channel that tells of failures and recoveries."""
        events = [NotificationEvent.RUN_FAILED.value, NotificationEvent.RUN_RECOVERED.value]
        self.form = ChannelRow(0, "", "email", "", events, [], [], True, True, 0)
        self.form_kind, self.shown_secret, self.is_editing = "email", "", True

    @rx.event
    def edit_channel(self, channel_id: int) -> None:
        """Open the form of a channel of the list."""
        for row in self.channels:
            if row.id == channel_id:
                self.form, self.form_kind = row, row.kind
                self.shown_secret, self.is_editing = "", True

    @rx.event
    def choose_kind(self, kind: str) -> None:
        """Show the fields of a kind; that of a channel never changes."""
        if kind in KINDS and not self.form.id:
            self.form_kind = kind

    @rx.event
    def close_form(self) -> None:
        self.is_editing, self.shown_secret = False, ""

    @rx.event
    async def save(self, form: dict[str, Any]) -> None:
        """Make or change the channel of the dialog."""
        signing: str | None = None
        kind, channel_id = ChannelKind(self.form_kind or ChannelKind.EMAIL), self.form.id
        async with self._attempt() as (session, actor):
            service = NotificationService(session, actor)
            body = read(
                NotificationChannelPatch,
                {
                    **texts(form, "name"),
                    "events": ticked(form, EVENT),
                    "pipeline_ids": [_whole(one) for one in ticked(form, PIPELINE)],
                    "is_active": bool(form.get("is_active")),
                },
            )
            events, ids = body.events or [], body.pipeline_ids or []
            config = config_of(kind, form)
            if channel_id:
                await service.update(
                    channel_id, name=body.name, config=config, events=events, pipeline_ids=ids,
                    is_active=body.is_active,
                )  # fmt: skip
            else:
                _, signing = await service.create(
                    body.name or "", kind, config, events, ids, bool(body.is_active)
                )
        if self.error:
            return
        self.shown_secret, self.is_editing = signing or "", signing is not None
        self._succeed("channels.saved")
        await self._load()

    @rx.event
    async def switch(self, channel_id: int, is_active: bool) -> None:
        """Switch a channel on or off."""
        async with self._attempt() as (session, actor):
            await NotificationService(session, actor).update(
                an_id(channel_id), is_active=bool(is_active)
            )
        if not self.error:
            self._succeed("channels.saved")
        await self._reload()

    @rx.event(background=True)
    async def test(self, channel_id: int) -> None:
        """Send a test message, and show whether it arrived."""
        async with self:
            self._clear_error()
            actor = await actor_of(self.router_data.get("headers", {}))
        if actor is None:
            return
        try:
            async with get_session(actor.scope) as session:
                delivery = await NotificationService(session, actor).test(an_id(channel_id))
        except DatanikaError as error:
            async with self:
                self._fail(error)
            return
        async with self:
            self.testing = channel_id
        await deliver_one(delivery.id)
        async with get_session(actor.scope) as session:
            sent = await NotificationLog(session, actor).get(delivery.id)
            service = PageRequest(PAGE_SIZE, None, "-id")
            found = await NotificationLog(session, actor).list(service)
        async with self:
            self.testing = 0
            self.state_filter = ""
            self._first_page()
            self._show_deliveries(found)
            if sent.state == DeliveryState.DELIVERED:
                self._succeed("channels.test_arrived")
            else:
                self.error, self.error_detail = "channels.test_failed", sent.error or ""

    @rx.event
    async def redeliver(self, delivery_id: int) -> None:
        """Deliver a message again."""
        async with self._attempt() as (session, actor):
            delivery = await NotificationLog(session, actor).redeliver(an_id(delivery_id))
        if self.error:
            return
        await deliver_one(delivery.id)
        self._succeed("channels.redelivered")
        await self._reload()

    @rx.event
    def ask(self, what: str, channel_id: int, name: str) -> None:
        """Open the question before a channel is deleted or its secret replaced."""
        if what in ("delete", "rotate"):
            self.asked, self.asked_id, self.asked_name = what, channel_id, str(name)[:200]

    @rx.event
    def close_question(self) -> None:
        self._close()

    @rx.event
    async def answer_yes(self) -> None:
        """Do what was asked about."""
        what, number = self.asked, self.asked_id
        self._close()
        if what not in ("delete", "rotate"):
            return
        async with self._attempt() as (session, actor):
            service = NotificationService(session, actor)
            if what == "delete":
                await service.delete(an_id(number))
            else:
                _, self.shown_secret, _ = await service.rotate_secret(an_id(number))
        if self.error:
            self.shown_secret = ""
            return
        self.is_editing = what == "rotate"
        self._succeed("channels.deleted" if what == "delete" else "channels.rotated")
        await self._load()

    @rx.event
    async def filter_by_state(self, state: str) -> None:
        """Only deliveries in ``state``; all for an empty or unknown one."""
        self.state_filter = state if state in set(DeliveryState) else ""
        self._first_page()
        await self._load()

    def _close(self) -> None:
        self.asked, self.asked_id, self.asked_name = "", 0, ""

    async def _reload(self) -> None:
        error, detail = self.error, self.error_detail
        await self._load()
        if error:
            self.error, self.error_detail = error, detail

    async def _load(self) -> None:
        async with self._attempt() as (session, actor):
            rows = await NotificationService(session, actor).list(PageRequest(limit=50))
            offered = await PipelineService(session, actor).list(PageRequest(MOST_PIPELINES))
            chosen = {int(one) for row in rows.rows for one in row.pipeline_ids}
            names = await PipelineService(session, actor).names(chosen)
            found = await NotificationLog(session, actor).list(
                PageRequest(PAGE_SIZE, self._cursors[-1], "-id"),
                state=DeliveryState(self.state_filter) if self.state_filter else None,
            )
            self.pipelines = [{"id": str(one.id), "name": one.name} for one in offered.rows]
            self.channels = [channel_row(row, names) for row in rows.rows]
            self.is_empty = not rows.rows
            self._show_deliveries(found)

    def _show_deliveries(self, found: Any) -> None:
        names = {row.id: row.name for row in self.channels}
        self.deliveries = [delivery_row(row, names) for row in found.rows]
        self._turned(found.next_cursor)


def config_of(kind: ChannelKind, form: dict[str, Any]) -> dict[str, Any]:
    """The configuration in a form: a secret that was left empty is left out."""
    if kind is ChannelKind.EMAIL:
        to = texts(form, "to").get("to", "")
        return {"to": [one.strip() for one in to.replace(";", ",").split(",") if one.strip()]}
    if kind is ChannelKind.WEBHOOK:
        return texts(form, "url")
    name = "webhook_url" if kind is ChannelKind.SLACK else "bot_token"
    hidden = secret(form, name)
    config: dict[str, Any] = {} if hidden is None else {name: hidden.strip()}
    return config | (texts(form, "chat_id") if kind is ChannelKind.TELEGRAM else {})


def _whole(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise InvalidInput("There is no such pipeline.", field="pipeline_ids")

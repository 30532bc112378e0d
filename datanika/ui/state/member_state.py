"""Members of the organisation, and the invitations that wait for an answer."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.contracts.api import InvitationIn, MemberPatch
from datanika.db import system_scope
from datanika.services.actor import Actor
from datanika.services.invitation_mail import invitation_mail
from datanika.services.invitation_service import InvitationService, Sent
from datanika.services.mail_queue import enqueue, send_one
from datanika.services.member_service import MemberService
from datanika.services.paging import PageRequest
from datanika.ui.state.given import an_id, later, read, texts
from datanika.ui.state.paged import Paged
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.settings import (
    InvitationRow,
    MemberRow,
    grantable,
    invitation_row,
    member_row,
)

PAGE_SIZE = 50
QUESTIONS = ("remove", "transfer", "withdraw", "leave")


class MemberState(Paged, TenantState):
    """``asked`` is the question that is open, about ``asked_id`` and ``asked_name``;
    ``shown_link`` the link of an invitation that was just made."""

    members: list[MemberRow] = []
    invitations: list[InvitationRow] = []
    roles: list[str] = []
    may_leave: bool = False
    search: str = ""
    is_inviting: bool = False
    shown_link: str = ""
    asked: str = ""
    asked_id: int = 0
    asked_name: str = ""
    to_load: str = ""

    @rx.event
    async def load_members(self) -> None:
        self._clear_error()
        self.search, self.shown_link = "", ""
        self._first_page()
        self.to_load = ""
        self._close()
        self.is_inviting = self.router.url.query_parameters.get("do") == "invite"
        await self._load()

    @rx.event
    async def find_members(self, form: dict[str, Any]) -> None:
        """Only those with a part of an address."""
        self.search = texts(form, "search").get("search", "")[:320]
        self._first_page()
        await self._load()

    @rx.event
    async def set_role(self, user_id: int, role: str) -> None:
        """Give a lower member another role."""
        async with self._attempt() as (session, actor):
            wanted = read(MemberPatch, {"role": role})
            await MemberService(session, actor).set_role(an_id(user_id), wanted.role)
        if not self.error:
            self._succeed("members.role_changed")
        await self._reload()

    @rx.event
    def open_invitation(self) -> None:
        self.is_inviting, self.shown_link = True, ""

    @rx.event
    def close_invitation(self) -> None:
        self.is_inviting, self.shown_link = False, ""

    @rx.event
    async def invite(self, form: dict[str, Any]) -> None:
        """Offer membership to an address."""
        async with self._attempt() as (session, actor):
            body = read(InvitationIn, texts(form, "email", "role"))
            sent = await InvitationService(session, actor).create(body.email, body.role)
            mail_id = await self._mail(session, actor, sent)
        if self.error:
            return
        later(send_one(mail_id))
        self.shown_link = sent.link
        self._succeed("members.invited")
        await self._reload()

    @rx.event
    async def resend(self, invitation_id: int) -> None:
        """A new link; the one before is dead."""
        async with self._attempt() as (session, actor):
            sent = await InvitationService(session, actor).resend(an_id(invitation_id))
            mail_id = await self._mail(session, actor, sent)
        if self.error:
            return
        later(send_one(mail_id))
        self.is_inviting, self.shown_link = True, sent.link
        self._succeed("members.resent")
        await self._reload()

    @rx.event
    def ask(self, what: str, number: int, name: str) -> None:
        """Open a question; see :data:`QUESTIONS`."""
        if what in QUESTIONS:
            self.asked, self.asked_id, self.asked_name = what, number, str(name)[:320]

    @rx.event
    def close_question(self) -> None:
        self._close()

    @rx.event
    async def answer_yes(self) -> None:
        """Do what was asked about."""
        what, number = self.asked, self.asked_id
        self._close()
        if what not in QUESTIONS:
            return
        async with self._attempt() as (session, actor):
            if what == "remove":
                await MemberService(session, actor).remove(an_id(number))
            elif what == "transfer":
                await MemberService(session, actor).transfer_ownership(an_id(number))
            elif what == "withdraw":
                await InvitationService(session, actor).withdraw(an_id(number))
            else:
                await self._go_on_elsewhere(session, actor)
                await MemberService(session, actor).leave()
        if self.error:
            return
        if what in ("leave", "transfer"):
            # What this person may do has changed: nothing of before may stay.
            self.to_load = "/" if what == "leave" else "/settings/members"
            return
        self._succeed("members.removed" if what == "remove" else "members.withdrawn")
        await self._reload()

    def _close(self) -> None:
        self.asked, self.asked_id, self.asked_name = "", 0, ""

    async def _mail(self, session: Any, actor: Actor, sent: Sent) -> int:
        async with system_scope(session, actor.scope):
            return await enqueue(session, invitation_mail(sent, actor.email))

    async def _reload(self) -> None:
        """Show what is true now, and keep what was said about what was asked."""
        error, detail = self.error, self.error_detail
        await self._load()
        if error:
            self.error, self.error_detail = error, detail

    async def _load(self) -> None:
        async with self._attempt() as (session, actor):
            page = PageRequest(PAGE_SIZE, self._cursors[-1])
            found = await MemberService(session, actor).list(page, search=self.search or None)
            self.members = [member_row(one, actor) for one in found.rows]
            self._turned(found.next_cursor)
            self.may_leave = actor.role.value != "owner"
            self.invitations, self.roles = [], []
            if actor.may("member:invite"):
                self.roles = grantable(actor.role)
                waiting = await InvitationService(session, actor).list(PageRequest(PAGE_SIZE))
                self.invitations = [invitation_row(one, actor) for one in waiting.rows]

"""Invitations: made by members, accepted by who was invited."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, status
from pydantic import BaseModel

from datanika.api.deps import PROBLEMS, SESSION_COOKIE, Id, page_of
from datanika.api.forms import answer_form, form_fields, json_or_form
from datanika.api.mails import Mails, Outbox
from datanika.api.paging import paging
from datanika.api.transaction import (
    MEMBER,
    SystemRoute,
    SystemSession,
    TenantRoute,
    Transaction,
    Tx,
    needs,
)
from datanika.contracts.api import (
    AcceptIn,
    InvitationIn,
    InvitationOut,
    InvitationSentOut,
    JoinedOut,
    JoinIn,
    Page,
)
from datanika.db import system_scope
from datanika.services.invitation_mail import invitation_mail
from datanika.services.invitation_service import (
    PATH,
    SORTS,
    InvitationService,
    Sent,
    register_invited,
)
from datanika.services.login_sessions import LoginSessions
from datanika.services.paging import PageRequest

router = APIRouter(
    prefix="/invitations", tags=["organization"], responses=PROBLEMS, route_class=TenantRoute
)
anonymous = APIRouter(
    prefix="/invitations", tags=["organization"], responses=PROBLEMS, route_class=SystemRoute
)
Paging = Annotated[PageRequest, paging(SORTS)]


def _form(model: type[BaseModel]) -> dict[str, Any]:
    """Of a route for every member that takes ``model`` as JSON, or as a form of ours."""
    route = needs(MEMBER)
    return {"openapi_extra": route["openapi_extra"] | json_or_form(model)}


@router.get("", **needs("member:invite"))
async def list_invitations(
    tx: Tx,
    page: Paging,
    search: Annotated[
        str | None, Query(max_length=320, description="A part of the e-mail address.")
    ] = None,
) -> Page[InvitationOut]:
    """Those that wait for an answer."""
    rows = await InvitationService(tx.session, tx.actor).list(page, search)
    return page_of(rows, InvitationOut)


@router.post("", status_code=status.HTTP_201_CREATED, **needs("member:invite"))
async def create_invitation(body: InvitationIn, tx: Tx, mails: Mails) -> InvitationSentOut:
    """Offer membership to an address, for seven days. It is mailed a link; the one that you may
    hand over yourself is shown this once."""
    sent = await InvitationService(tx.session, tx.actor).create(body.email, body.role)
    await _mail(tx, mails, sent)
    return invitation_sent(sent)


@router.post("/{invitation_id}/resend", **needs("member:invite"))
async def resend_invitation(invitation_id: Id, tx: Tx, mails: Mails) -> InvitationSentOut:
    """A new link for seven days; the one before stops working."""
    sent = await InvitationService(tx.session, tx.actor).resend(invitation_id)
    await _mail(tx, mails, sent)
    return invitation_sent(sent)


@router.delete("/{invitation_id}", status_code=status.HTTP_204_NO_CONTENT, **needs("member:invite"))
async def withdraw_invitation(invitation_id: Id, tx: Tx) -> None:
    """Nobody can accept it any more."""
    await InvitationService(tx.session, tx.actor).withdraw(invitation_id)


@router.post("/accept", response_model=JoinedOut, **_form(AcceptIn))
async def accept_invitation(request: Request, tx: Tx) -> Response:
    """Join the organisation that invited your address. Then switch to it.

    A form's browser is switched, and sent to the first page.
    """

    async def accept(body: AcceptIn) -> JoinedOut:
        joined = await InvitationService(tx.session, tx.actor).accept(body.token)
        cookie = request.cookies.get(SESSION_COOKIE)
        if cookie is not None and await form_fields(request) is not None:
            async with system_scope(tx.session, tx.actor.scope):
                await LoginSessions(tx.session).switch_cookie(cookie, joined.org_id)
        return JoinedOut.model_validate(joined)

    return await answer_form(
        request,
        tx.session,
        AcceptIn,
        accept,
        success=status.HTTP_200_OK,
        done="/",
        failed=PATH,
    )


@router.post("/decline", status_code=status.HTTP_204_NO_CONTENT, **_form(AcceptIn))
async def decline_invitation(request: Request, tx: Tx) -> Response:
    """Say no to an invitation of your address. Its link stops working."""

    async def decline(body: AcceptIn) -> None:
        await InvitationService(tx.session, tx.actor).decline(body.token)

    return await answer_form(
        request,
        tx.session,
        AcceptIn,
        decline,
        success=status.HTTP_204_NO_CONTENT,
        done="/",
        failed=PATH,
    )


@anonymous.post(
    "/register",
    status_code=status.HTTP_201_CREATED,
    response_model=JoinedOut,
    openapi_extra=json_or_form(JoinIn),
)
async def register_with_invitation(request: Request, session: SystemSession) -> Response:
    """Register with the mailed link, and join. Log in then."""

    async def register(body: JoinIn) -> JoinedOut:
        return JoinedOut.model_validate(
            await register_invited(session, body.token, body.name, body.password)
        )

    return await answer_form(
        request,
        session,
        JoinIn,
        register,
        success=status.HTTP_201_CREATED,
        done="/login?notice=joined",
        failed=PATH,
    )


async def _mail(tx: Transaction, mails: Outbox, sent: Sent) -> None:
    mail = invitation_mail(sent, tx.actor.email)
    async with system_scope(tx.session, tx.actor.scope):
        await mails.put(tx.session, mail)


def invitation_sent(sent: Sent) -> InvitationSentOut:
    """The invitation with the link that may be handed over."""
    row = InvitationOut.model_validate(sent.invitation)
    return InvitationSentOut(link=sent.link, **row.model_dump())

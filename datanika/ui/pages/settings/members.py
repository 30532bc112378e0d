"""Members and invitations: who is in, as what, and who was asked."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.dialogs import confirm, dialog
from datanika.ui.components.forms import button, select_field, submit, text_field
from datanika.ui.components.paging import pager
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import table
from datanika.ui.pages.settings.parts import card, search_form, settings_frame, shown_once
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.member_state import MemberState
from datanika.ui.views.settings import InvitationRow, MemberRow
from datanika.ui.wrappers.shell import LoadAnew
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations


def members_page() -> rx.Component:
    return settings_frame(
        _members(),
        rx.cond(may("member:invite"), _invitations()),
        _roles(),
        _invite(),
        _question(),
        LoadAnew.create(to=MemberState.to_load),
        active="/settings/members",
        title=_t["members.title"],
        text=_t["members.text"],
        actions=(
            rx.cond(
                may("member:invite"),
                button(
                    _t["members.invite"], MemberState.open_invitation, aria_haspopup="dialog",
                    icon="user-plus", style="primary",
                    # What the dialog offers comes with the page, which closes dialogs of before.
                    disabled=MemberState.roles.length() == 0,
                ),
            ),
        ),
    )  # fmt: skip


def _members() -> rx.Component:
    return card(
        _t["settings.members"],
        search_form(MemberState.find_members, _t["members.search"]),
        table(
            [
                (_t["members.person"], ""),
                (_t["members.role"], ""),
                (_t["members.joined"], ""),
                (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
            ],
            rx.foreach(MemberState.members, _member),
            _t["settings.members"],
        ),
        pager(MemberState),
    )


def _member(member: MemberRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.strong(member.name),
            rx.cond(member.is_me, rx.el.span(_t["members.you"], class_name="chip you")),
            rx.el.div(member.email, class_name="muted"),
        ),
        rx.el.td(
            rx.cond(
                member.is_below & may("member:update"),
                rx.el.select(
                    rx.foreach(MemberState.roles, lambda role: rx.el.option(role, value=role)),
                    value=member.role,
                    on_change=lambda role: MemberState.set_role(member.user_id, role),
                    aria_label=_t["members.role"] + ": " + member.email,
                    class_name="select",
                ),
                rx.el.span(member.role, class_name="chip"),
            )
        ),
        rx.el.td(local_time(member.joined_at)),
        rx.el.td(
            rx.el.div(
                rx.cond(
                    member.is_below & may("organization:transfer"),
                    button(
                        _t["members.transfer"],
                        MemberState.ask("transfer", member.user_id, member.email),
                        aria_haspopup="dialog",
                        aria_label=_t["members.transfer"] + ": " + member.email,
                    ),
                ),
                rx.cond(
                    member.is_below & may("member:remove"),
                    button(
                        _t["members.remove"],
                        MemberState.ask("remove", member.user_id, member.email),
                        aria_haspopup="dialog",
                        style="danger",
                        aria_label=_t["members.remove"] + ": " + member.email,
                    ),
                ),
                rx.cond(
                    member.is_me & MemberState.may_leave,
                    button(
                        _t["members.leave"],
                        MemberState.ask("leave", member.user_id, member.email),
                        aria_haspopup="dialog",
                        style="danger",
                    ),
                ),
                class_name="row end",
            ),
            class_name="end",
        ),
        key=member.user_id.to(str),
    )


def _invitations() -> rx.Component:
    return card(
        _t["members.waiting"],
        rx.cond(
            MemberState.invitations.length() > 0,
            table(
                [
                    (_t["login.email"], ""),
                    (_t["members.role"], ""),
                    (_t["members.sent"], ""),
                    (_t["settings.expires"], ""),
                    (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
                ],
                rx.foreach(MemberState.invitations, _invitation),
                _t["members.waiting"],
            ),
            rx.el.p(_t["members.none_waiting"], class_name="log-empty"),
        ),
    )


def _invitation(one: InvitationRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(one.email),
        rx.el.td(rx.el.span(one.role, class_name="chip")),
        rx.el.td(local_time(one.sent_at)),
        rx.el.td(local_time(one.expires_at)),
        rx.el.td(
            rx.cond(
                one.is_below,
                rx.el.div(
                    button(
                        _t["members.resend"],
                        MemberState.resend(one.id),
                        aria_label=_t["members.resend"] + ": " + one.email,
                    ),
                    button(
                        _t["members.withdraw"],
                        MemberState.ask("withdraw", one.id, one.email),
                        aria_haspopup="dialog",
                        style="danger",
                        aria_label=_t["members.withdraw"] + ": " + one.email,
                    ),
                    class_name="row end",
                ),
            ),
            class_name="end",
        ),
        key=one.id.to(str),
    )


def _roles() -> rx.Component:
    """What each role may: nobody should have to look it up."""
    rows = (
        ("viewer", _t["members.viewer_may"]),
        ("editor", _t["members.editor_may"]),
        ("admin", _t["members.admin_may"]),
        ("owner", _t["members.owner_may"]),
    )
    return card(
        _t["members.roles"],
        rx.el.dl(
            *(
                rx.el.div(rx.el.dt(rx.el.span(role, class_name="chip")), rx.el.dd(text))
                for role, text in rows
            ),
            class_name="role-list",
        ),
    )


def _invite() -> rx.Component:
    return dialog(
        rx.cond(
            MemberState.shown_link != "",
            rx.el.div(
                shown_once(_t["members.link_text"], MemberState.shown_link),
                rx.el.div(
                    button(_t["settings.done"], MemberState.close_invitation, style="primary"),
                    class_name="form-actions",
                ),
                class_name="dialog-body",
            ),
            rx.el.form(
                text_field(
                    _t["login.email"], "email", type="email", required=True, auto_complete="off",
                    placeholder="grace@example.com",
                ),
                select_field(
                    _t["members.role"],
                    "role",
                    rx.foreach(MemberState.roles, lambda role: rx.el.option(role, value=role)),
                    default_value="viewer",
                ),
                rx.el.div(
                    button(_t["dialog.cancel"], MemberState.close_invitation),
                    submit(_t["members.send"]),
                    class_name="form-actions",
                ),
                on_submit=MemberState.invite,
                reset_on_submit=False,
                class_name="form",
            ),
        ),
        is_open=MemberState.is_inviting,
        title=_t["members.invite"],
        on_close=MemberState.close_invitation,
    )  # fmt: skip


def _question() -> rx.Component:
    asked = MemberState.asked
    return confirm(
        is_open=asked != "",
        title=rx.match(
            asked,
            ("remove", _t["members.remove"]),
            ("transfer", _t["members.transfer"]),
            ("withdraw", _t["members.withdraw"]),
            _t["members.leave"],
        ),
        text=rx.el.span(
            rx.match(
                asked,
                ("remove", _t["members.remove_text"]),
                ("transfer", _t["members.transfer_text"]),
                ("withdraw", _t["members.withdraw_text"]),
                _t["members.leave_text"],
            ),
            " ",
            rx.el.strong(MemberState.asked_name),
        ),
        action=rx.match(
            asked,
            ("remove", _t["members.remove"]),
            ("transfer", _t["members.transfer"]),
            ("withdraw", _t["members.withdraw"]),
            _t["members.leave"],
        ),
        on_confirm=MemberState.answer_yes,
        on_close=MemberState.close_question,
    )

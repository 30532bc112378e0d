"""Notification channels: whom to tell what, and what became of it."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.contracts.notifications import DeliveryState
from datanika.ui.components.dialogs import confirm, dialog
from datanika.ui.components.forms import button, check_field, field, submit, text_field
from datanika.ui.components.paging import pager
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import badge, empty, table
from datanika.ui.pages.settings.parts import card, settings_frame, shown_once
from datanika.ui.state.channel_state import EVENT, EVENTS, KINDS, PIPELINE, ChannelState
from datanika.ui.state.i18n import I18nState
from datanika.ui.views.settings import ChannelRow, DeliveryRow
from datanika.ui.wrappers.values import local_time, number

_t = I18nState.translations
_ICONS = {
    "email": "mail",
    "webhook": "webhook",
    "slack": "hash",
    "telegram": "send",
}


def channels_page() -> rx.Component:
    return settings_frame(
        rx.cond(
            ChannelState.is_empty,
            rx.el.section(
                empty(
                    "bell",
                    _t["channels.empty_title"],
                    _t["channels.empty_text"],
                    rx.cond(may("notification:write"), _new()),
                ),
                class_name="card",
            ),
            rx.el.ul(
                rx.foreach(ChannelState.channels, _channel),
                class_name="channel-list",
                aria_label=_t["settings.notifications"],
            ),
        ),
        _deliveries(),
        _form(),
        _question(),
        active="/settings/notifications",
        title=_t["channels.title"],
        text=_t["channels.text"],
        actions=(rx.cond(may("notification:write") & ~ChannelState.is_empty, _new()),),
    )


def _new() -> rx.Component:
    return button(
        _t["channels.new"],
        ChannelState.new_channel,
        aria_haspopup="dialog",
        icon="plus",
        style="primary",
    )


def _kind_icon(kind: Any) -> rx.Component:
    return rx.match(
        kind,
        *((name, rx.icon(icon, aria_hidden="true")) for name, icon in _ICONS.items()),
        rx.icon("bell", aria_hidden="true"),
    )


def _channel(channel: ChannelRow) -> rx.Component:
    name = channel.name
    return rx.el.li(
        rx.el.div(
            rx.el.span(_kind_icon(channel.kind), class_name="kind-icon"),
            rx.el.div(
                rx.el.h2(name),
                rx.el.p(
                    channel.kind,
                    rx.cond(channel.target != "", rx.el.bdi(" · ", channel.target)),
                    class_name="muted target",
                ),
            ),
            rx.cond(
                ~channel.is_active,
                badge("paused"),
                rx.cond(channel.is_healthy, badge("active"), badge("unhealthy")),
            ),
            class_name="channel-head",
        ),
        rx.el.div(
            rx.foreach(channel.events, lambda event: rx.el.span(event, class_name="chip")),
            class_name="chips",
        ),
        rx.el.p(
            rx.cond(
                channel.pipelines.length() > 0,
                rx.fragment(_t["channels.only"], " ", rx.el.bdi(channel.pipelines.join(", "))),
                _t["channels.every_pipeline"],
            ),
            class_name="muted",
        ),
        rx.cond(may("notification:write"), _actions(channel)),
        class_name="card channel",
        key=channel.id.to(str),
    )


def _actions(channel: ChannelRow) -> rx.Component:
    def named(text: Any) -> Any:
        return text + ": " + channel.name

    return rx.el.div(
        button(
            rx.cond(
                ChannelState.testing == channel.id, _t["channels.testing"], _t["channels.test"]
            ),
            ChannelState.test(channel.id),
            icon="send-horizontal",
            disabled=~channel.is_active | (ChannelState.testing == channel.id),
            aria_label=named(_t["channels.test"]),
        ),
        button(
            _t["channels.edit"],
            ChannelState.edit_channel(channel.id),
            aria_haspopup="dialog",
            aria_label=named(_t["channels.edit"]),
        ),
        rx.cond(
            channel.is_active,
            button(
                _t["channels.switch_off"],
                ChannelState.switch(channel.id, False),
                aria_label=named(_t["channels.switch_off"]),
            ),
            button(
                _t["channels.switch_on"],
                ChannelState.switch(channel.id, True),
                aria_label=named(_t["channels.switch_on"]),
            ),
        ),
        rx.cond(
            channel.kind == "webhook",
            button(
                _t["channels.rotate"],
                ChannelState.ask("rotate", channel.id, channel.name),
                aria_haspopup="dialog",
                aria_label=named(_t["channels.rotate"]),
            ),
        ),
        rx.cond(
            may("notification:delete"),
            button(
                _t["channels.delete"],
                ChannelState.ask("delete", channel.id, channel.name),
                aria_haspopup="dialog",
                style="danger",
                aria_label=named(_t["channels.delete"]),
            ),
        ),
        class_name="row",
    )


def _deliveries() -> rx.Component:
    return card(
        _t["channels.deliveries"],
        rx.cond(
            ChannelState.deliveries.length() > 0,
            table(
                [
                    (_t["channels.channel"], ""),
                    (_t["channels.event"], ""),
                    (_t["column.state"], ""),
                    (_t["channels.attempts"], "end"),
                    (_t["audit.when"], ""),
                    (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
                ],
                rx.foreach(ChannelState.deliveries, _delivery),
                _t["channels.deliveries"],
            ),
            rx.el.p(_t["channels.no_deliveries"], class_name="log-empty"),
        ),
        pager(ChannelState),
        extra=rx.el.select(
            rx.el.option(_t["runs.all_states"], value=""),
            *(rx.el.option(state.value, value=state.value) for state in DeliveryState),
            value=ChannelState.state_filter,
            on_change=ChannelState.filter_by_state,
            aria_label=_t["runs.filter"],
            class_name="select",
        ),
    )


def _delivery(one: DeliveryRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(rx.el.strong(one.channel)),
        rx.el.td(rx.el.span(one.event, class_name="chip")),
        rx.el.td(
            badge(one.state),
            rx.cond(one.error != "", rx.el.div(one.error, class_name="delivery-error")),
            class_name="wide",
        ),
        rx.el.td(number(one.attempts), class_name="end"),
        rx.el.td(local_time(one.created_at)),
        rx.el.td(
            rx.cond(
                may("notification:write"),
                button(
                    _t["channels.redeliver"],
                    ChannelState.redeliver(one.id),
                    aria_label=_t["channels.redeliver"] + " " + one.id.to(str),
                ),
            ),
            class_name="end",
        ),
        key=one.id.to(str),
    )


def _form() -> rx.Component:
    return dialog(
        rx.cond(
            ChannelState.shown_secret != "",
            rx.el.div(
                shown_once(_t["channels.secret_text"], ChannelState.shown_secret),
                rx.el.div(
                    button(_t["settings.done"], ChannelState.close_form, style="primary"),
                    class_name="form-actions",
                ),
                class_name="dialog-body",
            ),
            _fields(),
        ),
        is_open=ChannelState.is_editing,
        title=rx.cond(ChannelState.form.id > 0, _t["channels.edit"], _t["channels.new"]),
        on_close=ChannelState.close_form,
        wide=True,
    )


def _fields() -> rx.Component:
    form = ChannelState.form
    return rx.el.form(
        rx.el.div(
            text_field(
                _t["column.name"], "name", required=True, max_length=200, placeholder="on call",
                default_value=form.name,
            ),
            field(
                _t["column.kind"],
                rx.el.select(
                    *(rx.el.option(kind, value=kind) for kind in KINDS),
                    value=ChannelState.form_kind,
                    on_change=ChannelState.choose_kind,
                    disabled=form.id > 0,
                    id="kind",
                    name="kind",
                ),
                name="kind",
            ),
            class_name="form-grid",
        ),
        rx.match(
            ChannelState.form_kind,
            (
                "email",
                text_field(
                    _t["channels.to"], "to", required=True, default_value=form.target,
                    placeholder="data@example.com, oncall@example.com", help=_t["channels.to_help"],
                ),
            ),
            (
                "webhook",
                text_field(
                    _t["channels.url"], "url", type="url", required=True,
                    default_value=form.target, placeholder="https://hooks.example.com/datanika",
                ),
            ),
            ("slack", _secret_field(_t["channels.slack_url"], "webhook_url")),
            rx.el.div(
                text_field(
                    _t["channels.chat"], "chat_id", required=True, default_value=form.target,
                    placeholder="-1001234567890",
                ),
                _secret_field(_t["channels.bot_token"], "bot_token"),
                class_name="form-grid",
            ),
        ),
        rx.el.fieldset(
            rx.el.legend(_t["channels.events"]),
            rx.el.div(
                *(_box(event, f"{EVENT}{event}", form.events.contains(event)) for event in EVENTS),
                class_name="boxes",
            ),
            class_name="plain-set",
        ),
        rx.cond(
            ChannelState.pipelines.length() > 0,
            rx.el.fieldset(
                rx.el.legend(_t["nav.pipelines"]),
                rx.el.p(_t["channels.pipelines_help"], class_name="help"),
                rx.el.div(
                    rx.foreach(
                        ChannelState.pipelines,
                        lambda one: _box(
                            one["name"],
                            rx.Var.create(PIPELINE) + one["id"],
                            form.pipeline_ids.contains(one["id"].to(int)),
                        ),
                    ),
                    class_name="boxes",
                ),
                class_name="plain-set",
            ),
        ),
        check_field(_t["channels.is_active"], "is_active", default_checked=form.is_active),
        rx.el.div(
            button(_t["dialog.cancel"], ChannelState.close_form),
            submit(_t["settings.save"]),
            class_name="form-actions",
        ),
        on_submit=ChannelState.save,
        reset_on_submit=False,
        class_name="form",
        key=form.id.to(str),
    )  # fmt: skip


def _secret_field(label: Any, name: str) -> rx.Component:
    return text_field(
        label,
        name,
        type="password",
        auto_complete="off",
        required=ChannelState.form.id == 0,
        help=rx.cond(
            ChannelState.form.id > 0, _t["channels.secret_kept"], _t["channels.secret_help"]
        ),
    )


def _box(text: Any, name: Any, checked: Any) -> rx.Component:
    return rx.el.label(
        rx.el.input(type="checkbox", name=name, default_checked=checked),
        rx.el.span(text),
        class_name="check",
    )


def _question() -> rx.Component:
    is_delete = ChannelState.asked == "delete"
    return confirm(
        is_open=ChannelState.asked != "",
        title=rx.cond(is_delete, _t["channels.delete"], _t["channels.rotate"]),
        text=rx.el.span(
            rx.cond(is_delete, _t["channels.delete_text"], _t["channels.rotate_text"]),
            " ",
            rx.el.strong(ChannelState.asked_name),
        ),
        action=rx.cond(is_delete, _t["channels.delete"], _t["channels.rotate"]),
        on_confirm=ChannelState.answer_yes,
        on_close=ChannelState.close_question,
    )

"""API keys: what programs use instead of a login."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.dialogs import confirm, dialog
from datanika.ui.components.forms import button, select_field, submit, text_field
from datanika.ui.components.paging import pager
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import empty, table
from datanika.ui.pages.settings.parts import card, settings_frame, shown_once
from datanika.ui.state.api_key_state import SCOPE, ApiKeyState
from datanika.ui.state.i18n import I18nState
from datanika.ui.views.settings import KeyRow
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations


def api_keys_page() -> rx.Component:
    return settings_frame(
        card(
            _t["settings.api_keys"],
            rx.cond(
                ApiKeyState.is_empty,
                empty("key-round", _t["keys.empty_title"], _t["keys.empty_text"]),
                rx.fragment(
                    table(
                        [
                            (_t["column.name"], ""),
                            (_t["keys.scopes"], ""),
                            (_t["keys.last_used"], ""),
                            (_t["settings.expires"], ""),
                            (_t["keys.created_at"], ""),
                            (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
                        ],
                        rx.foreach(ApiKeyState.keys, _row),
                        _t["settings.api_keys"],
                    ),
                    pager(ApiKeyState),
                ),
            ),
        ),
        _form(),
        confirm(
            is_open=ApiKeyState.asked_id > 0,
            title=_t["keys.revoke"],
            text=rx.el.span(_t["keys.revoke_text"], " ", rx.el.strong(ApiKeyState.asked_name)),
            action=_t["keys.revoke"],
            on_confirm=ApiKeyState.revoke,
            on_close=ApiKeyState.close_question,
        ),
        active="/settings/api-keys",
        title=_t["keys.title"],
        text=_t["keys.text"],
        actions=(
            rx.cond(
                may("api_key:write"),
                button(
                    _t["keys.create"],
                    ApiKeyState.open_form,
                    aria_haspopup="dialog",
                    icon="plus",
                    style="primary",
                ),
            ),
        ),
    )


def _row(key: KeyRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.strong(key.name),
            rx.el.div(key.prefix, "…", class_name="muted mono", dir="ltr"),
        ),
        rx.el.td(
            rx.el.div(
                rx.foreach(key.scopes, lambda scope: rx.el.span(scope, class_name="chip")),
                class_name="chips",
            ),
            class_name="wide",
        ),
        rx.el.td(rx.cond(key.last_used_at, local_time(key.last_used_at), _t["settings.never"])),
        rx.el.td(rx.cond(key.expires_at, local_time(key.expires_at), _t["settings.never"])),
        rx.el.td(local_time(key.created_at)),
        rx.el.td(
            rx.cond(
                may("api_key:delete"),
                button(
                    _t["keys.revoke"],
                    ApiKeyState.ask(key.id, key.name),
                    aria_haspopup="dialog",
                    style="danger",
                    aria_label=_t["keys.revoke"] + ": " + key.name,
                ),
            ),
            class_name="end",
        ),
        key=key.id.to(str),
    )


def _form() -> rx.Component:
    return dialog(
        rx.cond(
            ApiKeyState.shown_key != "",
            rx.el.div(
                shown_once(_t["keys.once"], ApiKeyState.shown_key),
                rx.el.div(
                    button(_t["settings.done"], ApiKeyState.close_form, style="primary"),
                    class_name="form-actions",
                ),
                class_name="dialog-body",
            ),
            rx.el.form(
                rx.el.div(
                    text_field(
                        _t["column.name"], "name", required=True, max_length=200,
                        placeholder="nightly-export",
                    ),
                    select_field(
                        _t["keys.lifetime"],
                        "lifetime",
                        [
                            ("30", _t["keys.month"]),
                            ("90", _t["keys.quarter"]),
                            ("365", _t["keys.year"]),
                            ("never", _t["keys.for_ever"]),
                        ],
                        default_value="90",
                    ),
                    class_name="form-grid",
                ),
                rx.el.fieldset(
                    rx.el.legend(_t["keys.scopes"]),
                    rx.el.p(_t["keys.scopes_text"], class_name="help"),
                    rx.el.div(
                        button(_t["keys.read_only"], ApiKeyState.choose("read")),
                        button(_t["keys.everything"], ApiKeyState.choose("all")),
                        button(_t["keys.nothing"], ApiKeyState.choose("none")),
                        class_name="row",
                    ),
                    rx.el.div(
                        rx.foreach(ApiKeyState.scopes, _resource),
                        class_name="scopes",
                        key=ApiKeyState.preset,
                    ),
                    class_name="plain-set",
                ),
                rx.el.div(
                    button(_t["dialog.cancel"], ApiKeyState.close_form),
                    submit(_t["keys.create"]),
                    class_name="form-actions",
                ),
                on_submit=ApiKeyState.create,
                reset_on_submit=False,
                class_name="form",
            ),
        ),
        is_open=ApiKeyState.is_creating,
        title=_t["keys.create"],
        on_close=ApiKeyState.close_form,
        wide=True,
    )  # fmt: skip


def _resource(entry: Any) -> rx.Component:
    """A resource and a box for each of its actions."""
    resource, actions = entry[0], entry[1]
    return rx.el.div(
        rx.el.strong(resource, class_name="mono"),
        rx.foreach(
            actions.to(list[str]),
            lambda action: rx.el.label(
                rx.el.input(
                    type="checkbox",
                    name=rx.Var.create(SCOPE) + resource.to(str) + "__" + action,
                    default_checked=(ApiKeyState.preset == "all")
                    | ((ApiKeyState.preset == "read") & (action == "read")),
                ),
                rx.el.span(action),
                class_name="check",
            ),
        ),
        class_name="scope",
        key=resource.to(str),
    )

"""One's own account, in every organisation."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.i18n import LOCALES
from datanika.ui.components.dialogs import dialog
from datanika.ui.components.forms import button, check_field, select_field, submit, text_field
from datanika.ui.components.pieces import badge, table
from datanika.ui.pages.settings.parts import card, settings_frame
from datanika.ui.state.account_state import AccountState
from datanika.ui.state.i18n import I18nState
from datanika.ui.views.settings import IdentityRow, SessionRow
from datanika.ui.wrappers.shell import CopyButton, LoadAnew
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations
_FRESH = AccountState.form_number.to(str)
"""Changes when the fields of a form should be empty again."""


def account_page() -> rx.Component:
    return settings_frame(
        rx.cond(
            # What is typed must not be replaced by what arrives.
            AccountState.email != "",
            rx.el.div(
                _profile(), _email(), _password(), _second_factor(), class_name="account-grid"
            ),
        ),
        _sessions(),
        rx.cond(AccountState.identities.length() > 0, _identities()),
        card(
            _t["account.erase"],
            rx.el.div(
                rx.el.p(_t["account.erase_text"]),
                button(
                    _t["account.erase"],
                    AccountState.ask_to_erase,
                    aria_haspopup="dialog",
                    style="danger",
                ),
                class_name="danger-zone",
            ),
            style_name="danger-card",
        ),
        _erase(),
        _codes(),
        LoadAnew.create(to=AccountState.to_load),
        active="/settings/account",
        title=_t["account.title"],
        text=_t["account.text"],
    )


def _password_field(label: Any, name: str, **props: Any) -> rx.Component:
    return text_field(
        label, name, type="password",
        **({"auto_complete": "current-password", "required": True} | props),
    )  # fmt: skip


def _profile() -> rx.Component:
    return card(
        _t["account.profile"],
        rx.el.form(
            text_field(
                _t["invitation.name"], "name", required=True, max_length=200,
                default_value=AccountState.name,
            ),
            select_field(
                _t["account.language"], "locale", list(LOCALES.items()),
                default_value=AccountState.locale, help=_t["account.language_help"],
            ),
            rx.el.div(submit(_t["settings.save"]), class_name="form-actions"),
            on_submit=AccountState.save_profile,
            reset_on_submit=False,
            class_name="form",
            key=AccountState.name + AccountState.locale,
        ),
    )  # fmt: skip


def _email() -> rx.Component:
    return card(
        _t["login.email"],
        rx.el.form(
            rx.el.p(_t["account.email_is"], " ", rx.el.strong(AccountState.email)),
            text_field(
                _t["account.new_email"], "email", type="email", required=True,
                auto_complete="email",
            ),
            rx.cond(
                AccountState.has_password, _password_field(_t["login.password"], "email_password")
            ),
            rx.el.div(submit(_t["account.change_email"]), class_name="form-actions"),
            on_submit=AccountState.change_email,
            reset_on_submit=False,
            class_name="form",
            key=_FRESH,
        ),
    )  # fmt: skip


def _password() -> rx.Component:
    return card(
        _t["login.password"],
        rx.el.form(
            rx.cond(
                AccountState.has_password,
                _password_field(_t["account.current_password"], "current_password"),
            ),
            _password_field(
                _t["mailed.reset.password"], "new_password", auto_complete="new-password",
                min_length=8, max_length=72,
            ),
            check_field(_t["mailed.reset.revoke_keys"], "revoke_keys"),
            rx.el.div(submit(_t["mailed.reset.submit"]), class_name="form-actions"),
            on_submit=AccountState.change_password,
            reset_on_submit=False,
            class_name="form",
            key=_FRESH,
        ),
        text=_t["account.password_text"],
    )  # fmt: skip


def _second_factor() -> rx.Component:
    return card(
        _t["account.totp"],
        rx.cond(
            AccountState.totp_enabled,
            _disable(),
            rx.cond(AccountState.totp_secret != "", _enable(), _set_up()),
        ),
        text=_t["account.totp_text"],
        extra=rx.cond(AccountState.totp_enabled, badge("on"), badge("off")),
    )


def _proof() -> rx.Component:
    return rx.cond(
        AccountState.has_password, _password_field(_t["login.password"], "totp_password")
    )


def _set_up() -> rx.Component:
    return rx.el.form(
        _proof(),
        rx.el.div(submit(_t["account.totp_begin"]), class_name="form-actions"),
        on_submit=AccountState.set_up_totp,
        reset_on_submit=False,
        class_name="form",
        key="set-up",
    )


def _enable() -> rx.Component:
    return rx.el.form(
        rx.el.p(_t["account.totp_scan"]),
        rx.el.div(
            rx.el.img(src=AccountState.totp_picture, alt=_t["account.totp_picture"]),
            rx.el.code(AccountState.totp_secret, dir="ltr", class_name="once-value"),
            class_name="qr",
        ),
        text_field(
            _t["login.code"], "code", required=True, auto_complete="one-time-code",
            input_mode="numeric",
        ),
        rx.el.div(
            button(_t["dialog.cancel"], AccountState.forget_codes),
            submit(_t["account.totp_enable"]),
            class_name="form-actions",
        ),
        on_submit=AccountState.enable_totp,
        reset_on_submit=False,
        class_name="form",
        key="enable",
    )  # fmt: skip


def _disable() -> rx.Component:
    return rx.el.form(
        _proof(),
        text_field(_t["login.code"], "code", required=True, auto_complete="one-time-code"),
        rx.el.div(
            rx.el.button(_t["account.totp_disable"], type="submit", class_name="button danger"),
            class_name="form-actions",
        ),
        on_submit=AccountState.disable_totp,
        reset_on_submit=False,
        class_name="form",
        key="disable",
    )


def _codes() -> rx.Component:
    return dialog(
        rx.el.div(
            rx.el.p(_t["account.codes_text"]),
            rx.el.ul(
                rx.foreach(
                    AccountState.recovery_codes, lambda code: rx.el.li(rx.el.code(code, dir="ltr"))
                ),
                class_name="codes",
                id="recovery-codes",
            ),
            rx.el.div(
                CopyButton.create(
                    text=AccountState.recovery_codes.join("\n"),
                    label=_t["settings.copy"],
                    done=_t["settings.copied"],
                ),
                button(_t["settings.done"], AccountState.forget_codes, style="primary"),
                class_name="form-actions",
            ),
            class_name="dialog-body",
        ),
        is_open=AccountState.recovery_codes.length() > 0,
        title=_t["account.codes"],
        on_close=AccountState.forget_codes,
    )


def _sessions() -> rx.Component:
    return card(
        _t["account.sessions"],
        table(
            [
                (_t["account.device"], ""),
                (_t["account.address"], ""),
                (_t["account.began"], ""),
                (_t["keys.last_used"], ""),
                (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
            ],
            rx.foreach(AccountState.sessions, _session),
            _t["account.sessions"],
        ),
        extra=rx.cond(
            AccountState.sessions.length() > 1,
            button(_t["account.end_others"], AccountState.end_other_sessions),
        ),
    )


def _session(one: SessionRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.span(one.user_agent, class_name="agent", title=one.user_agent),
            rx.cond(one.is_current, rx.el.span(_t["account.this_one"], class_name="chip you")),
            rx.el.div(one.kind, " · ", one.method, class_name="muted"),
            class_name="wide",
        ),
        rx.el.td(one.address, class_name="mono"),
        rx.el.td(local_time(one.created_at)),
        rx.el.td(local_time(one.last_used_at)),
        rx.el.td(
            button(
                _t["account.end"],
                AccountState.end_session(one.id),
                style="danger",
                aria_label=_t["account.end"] + " " + one.id.to(str),
            ),
            class_name="end",
        ),
        key=one.id.to(str),
    )


def _identities() -> rx.Component:
    return card(
        _t["account.identities"],
        table(
            [
                (_t["account.provider"], ""),
                (_t["login.email"], ""),
                (_t["keys.created_at"], ""),
                (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
            ],
            rx.foreach(AccountState.identities, _identity),
            _t["account.identities"],
        ),
    )


def _identity(one: IdentityRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(one.provider),
        rx.el.td(one.email),
        rx.el.td(local_time(one.created_at)),
        rx.el.td(
            button(
                _t["account.unlink"],
                AccountState.unlink(one.id),
                style="danger",
                aria_label=_t["account.unlink"] + ": " + one.provider,
            ),
            class_name="end",
        ),
        key=one.id.to(str),
    )


def _erase() -> rx.Component:
    return dialog(
        rx.el.form(
            rx.el.p(_t["account.erase_text"]),
            rx.cond(
                AccountState.error != "",
                rx.el.p(
                    _t[AccountState.error], " ", AccountState.error_detail,
                    role="alert", class_name="wrong-text",
                ),
            ),
            text_field(
                _t["settings.type_to_confirm"] + " " + AccountState.email, "confirm",
                required=True, auto_complete="off",
            ),
            rx.cond(
                AccountState.has_password, _password_field(_t["login.password"], "erase_password")
            ),
            rx.el.div(
                button(_t["dialog.cancel"], AccountState.close_question),
                rx.el.button(_t["account.erase"], type="submit", class_name="button danger"),
                class_name="form-actions",
            ),
            on_submit=AccountState.erase,
            reset_on_submit=False,
            class_name="form",
        ),
        is_open=AccountState.asked == "erase",
        title=_t["account.erase"],
        on_close=AccountState.close_question,
    )  # fmt: skip

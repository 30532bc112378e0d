"""The organisation: name, limits, use, and its end."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.dialogs import dialog
from datanika.ui.components.forms import button, submit, text_field
from datanika.ui.components.permitted import may
from datanika.ui.pages.settings.parts import card, settings_frame
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.organization_state import STORAGE_LIMIT, OrganizationState
from datanika.ui.views.settings import Meter, MonthBar
from datanika.ui.wrappers.shell import LoadAnew
from datanika.ui.wrappers.values import byte_size, local_time, number

_t = I18nState.translations

_NAMES = (
    ("concurrent_runs", _t["organization.concurrent_runs"]),
    ("connections", _t["nav.connections"]),
    ("rows", _t["organization.rows"]),
    ("storage_bytes", _t["home.storage"]),
)
_LIMITS = (
    ("max_concurrent_runs", _t["organization.concurrent_runs"]),
    ("max_connections", _t["nav.connections"]),
    ("max_rows_per_month", _t["organization.rows"]),
    (STORAGE_LIMIT, _t["organization.storage"]),
)


def organization_page() -> rx.Component:
    return settings_frame(
        _usage(),
        # Not before it is loaded: what is typed must not be replaced by what arrives.
        rx.cond(may("organization:update") & (OrganizationState.revision > 0), _form()),
        rx.cond(may("organization:delete"), _end()),
        _question(),
        LoadAnew.create(to=OrganizationState.to_load),
        active="/settings",
        title=_t["settings.organization"],
        text=_t["organization.text"],
    )


def _usage() -> rx.Component:
    return card(
        _t["organization.usage"],
        rx.el.ul(
            rx.foreach(OrganizationState.meters, _meter),
            class_name="meters",
            aria_label=_t["organization.usage"],
        ),
        rx.cond(
            OrganizationState.months.length() > 0,
            rx.el.figure(
                rx.el.figcaption(_t["organization.history"], class_name="muted"),
                rx.el.ul(
                    rx.foreach(OrganizationState.months, _month),
                    class_name="months",
                    # It scrolls where there is no room for a year.
                    tab_index=0,
                    aria_label=_t["organization.history"],
                ),
                class_name="history",
            ),
        ),
        extra=rx.el.p(
            _t["organization.resets"], " ", local_time(OrganizationState.resets_at),
            class_name="muted",
        ),
    )  # fmt: skip


def _meter(meter: Meter) -> rx.Component:
    return rx.el.li(
        rx.el.div(
            rx.el.span(rx.match(meter.name, *_NAMES, meter.name), class_name="meter-name"),
            rx.el.span(
                _amount(meter, meter.used),
                " / ",
                rx.cond(meter.has_limit, _amount(meter, meter.limit), _t["organization.no_limit"]),
                class_name="muted",
                dir="ltr",
            ),
            class_name="meter-text",
        ),
        rx.el.div(
            rx.el.div(style={"width": meter.percent}, class_name="meter-fill"),
            class_name="meter-track",
            aria_hidden="true",
        ),
        class_name=rx.Var.create("meter is-") + meter.level,
        key=meter.name,
    )


def _amount(meter: Meter, value: Any) -> rx.Component:
    return rx.cond(meter.name == "storage_bytes", byte_size(value), number(value))


def _month(bar: MonthBar) -> rx.Component:
    return rx.el.li(
        rx.el.span(number(bar.rows), class_name="month-rows"),
        rx.el.div(
            rx.el.div(style={"height": bar.height}, class_name="month-fill"),
            class_name="month-track",
            aria_hidden="true",
        ),
        rx.el.span(bar.month, class_name="muted", dir="ltr"),
        rx.el.span(_t["organization.runs"], " ", number(bar.runs), class_name="muted month-runs"),
        key=bar.month,
    )


def _form() -> rx.Component:
    return card(
        _t["organization.name_and_limits"],
        rx.el.form(
            text_field(
                _t["frame.organization_name"], "name", required=True, max_length=200,
                default_value=OrganizationState.name,
            ),
            rx.el.div(*(_limit(name, text) for name, text in _LIMITS), class_name="form-grid"),
            rx.el.div(submit(_t["settings.save"]), class_name="form-actions"),
            on_submit=OrganizationState.save,
            reset_on_submit=False,
            class_name="form",
            key=OrganizationState.revision.to(str),
        ),
        text=_t["organization.limits_text"],
    )  # fmt: skip


def _limit(name: str, text: Any) -> rx.Component:
    ceiling = OrganizationState.ceilings[name]
    return text_field(
        text,
        name,
        type="number",
        min="0",
        step="any" if name == STORAGE_LIMIT else "1",
        default_value=OrganizationState.limits[name],
        placeholder=rx.cond(ceiling != "", ceiling, _t["organization.no_limit"]),
    )


def _end() -> rx.Component:
    return card(
        _t["organization.delete"],
        rx.el.div(
            rx.el.p(_t["organization.delete_text"]),
            button(
                _t["organization.delete"],
                OrganizationState.ask_to_delete,
                aria_haspopup="dialog",
                style="danger",
            ),
            class_name="danger-zone",
        ),
        style_name="danger-card",
    )


def _question() -> rx.Component:
    return dialog(
        rx.el.form(
            rx.el.p(_t["organization.delete_text"]),
            rx.cond(
                OrganizationState.error != "",
                rx.el.p(
                    _t[OrganizationState.error], " ", OrganizationState.error_detail,
                    role="alert", class_name="wrong-text",
                ),
            ),
            text_field(
                _t["settings.type_to_confirm"] + " " + OrganizationState.name,
                "confirm",
                required=True,
                auto_complete="off",
            ),
            rx.el.div(
                button(_t["dialog.cancel"], OrganizationState.close_question),
                rx.el.button(
                    _t["organization.delete"], type="submit", class_name="button danger"
                ),
                class_name="form-actions",
            ),
            on_submit=OrganizationState.delete,
            reset_on_submit=False,
            class_name="form",
        ),
        is_open=OrganizationState.is_deleting,
        title=_t["organization.delete"],
        on_close=OrganizationState.close_question,
    )  # fmt: skip

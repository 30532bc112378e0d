"""Versions of a transformation: when, by whom, what is different, and back."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.dialogs import dialog
from datanika.ui.components.forms import button
from datanika.ui.components.permitted import may
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.transformation_state import TransformationState
from datanika.ui.views.transformations import VersionRow
from datanika.ui.wrappers.code_editor import CodeDiff
from datanika.ui.wrappers.values import local_time

_t = I18nState.translations
_state = TransformationState


def history_dialog() -> rx.Component:
    return dialog(
        rx.el.div(
            rx.cond(
                _state.error != "",
                rx.el.p(
                    _t[_state.error], " ", _state.error_detail, class_name="wrong", role="alert"
                ),
            ),
            rx.el.ul(rx.foreach(_state.history, _version), class_name="checks"),
            rx.cond(_state.compared > 0, _difference()),
            class_name="dialog-body",
        ),
        is_open=_state.has_history,
        title=_t["transformation.history"],
        on_close=_state.close_history,
        wide=True,
    )


def _version(row: VersionRow) -> rx.Component:
    return rx.el.li(
        rx.el.strong(_t["transformation.revision"], " ", row.number.to(str)),
        rx.el.span(local_time(row.at), " ", rx.el.bdi(row.who), class_name="muted grow"),
        rx.cond(
            row.is_present,
            rx.el.span(_t["transformation.present"], class_name="chip"),
            rx.el.span(
                button(
                    _t["transformation.compare"],
                    _state.compare(row.number),
                    aria_pressed=_state.compared == row.number,
                ),
                rx.cond(
                    may("transformation:write"),
                    button(_t["transformation.restore"], _state.restore(row.number)),
                ),
                class_name="row",
            ),
        ),
        key=row.number.to(str),
    )


def _difference() -> rx.Component:
    return rx.el.div(
        rx.el.h3(_t["transformation.difference"]),
        CodeDiff.create(
            key=_state.compared.to(str),
            before=_state.compared_code,
            after=_state.present_code,
            language="sql",
            label=_t["transformation.difference"],
        ),
        rx.cond(
            _state.compared_settings != "",
            rx.el.pre(_state.compared_settings, dir="ltr", class_name="plain-diff"),
        ),
        class_name="stack",
        id="difference",
    )

"""The audit log."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.dialogs import dialog
from datanika.ui.components.forms import button, text_field
from datanika.ui.components.frame import api_path
from datanika.ui.components.paging import pager
from datanika.ui.components.pieces import empty, table
from datanika.ui.pages.settings.parts import card, settings_frame
from datanika.ui.state.audit_state import AuditState
from datanika.ui.state.i18n import I18nState
from datanika.ui.views.settings import AuditRow, Change
from datanika.ui.wrappers.values import local_time, number

_t = I18nState.translations


def audit_page() -> rx.Component:
    return settings_frame(
        _chain(),
        card(
            _t["settings.audit"],
            _filters(),
            rx.cond(
                AuditState.is_empty,
                empty("scroll-text", _t["audit.empty_title"], _t["audit.empty_text"]),
                table(
                    [
                        (_t["column.position"], "end"),
                        (_t["audit.when"], ""),
                        (_t["audit.who"], ""),
                        (_t["audit.action"], ""),
                        (_t["audit.resource"], ""),
                        (rx.el.span(_t["column.action"], class_name="visually-hidden"), ""),
                    ],
                    rx.foreach(AuditState.entries, _row),
                    _t["settings.audit"],
                ),
            ),
            pager(AuditState),
            extra=rx.el.div(_export("csv"), _export("jsonl"), class_name="row"),
        ),
        _entry(),
        active="/settings/audit",
        title=_t["audit.title"],
        text=_t["audit.text"],
    )


def _chain() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2(_t["audit.chain"]),
            rx.el.p(_t["audit.chain_text"], class_name="muted"),
            rx.cond(
                AuditState.verdict == "whole",
                rx.el.p(
                    rx.icon("shield-check", aria_hidden="true"),
                    _t["audit.whole"],
                    " ",
                    number(AuditState.verified),
                    class_name="verdict good",
                    role="status",
                ),
            ),
            rx.cond(
                AuditState.verdict == "broken",
                rx.el.p(
                    rx.icon("shield-alert", aria_hidden="true"),
                    _t["audit.broken"],
                    " #",
                    AuditState.first_bad_id,
                    class_name="verdict bad",
                    role="alert",
                ),
            ),
        ),
        button(_t["audit.verify"], AuditState.verify, icon="shield"),
        class_name="card chain",
    )


def _filters() -> rx.Component:
    return rx.el.form(
        text_field(_t["audit.action"], "action", placeholder="pipeline.updated"),
        text_field(_t["audit.resource"], "resource_type", placeholder="pipeline"),
        text_field(_t["audit.after"], "after", type="date"),
        text_field(_t["audit.before"], "before", type="date"),
        rx.el.button(_t["settings.search"], type="submit", class_name="button"),
        on_submit=AuditState.find,
        reset_on_submit=False,
        class_name="filters",
    )


def _export(kind: str) -> rx.Component:
    return rx.el.a(
        rx.icon("download", aria_hidden="true"),
        kind.upper(),
        href=rx.Var.create(api_path(f"/api/v1/audit/export?format={kind}"))
        + AuditState.export_query,
        download=f"audit.{kind}",
        aria_label=_t["audit.export"] + f": {kind.upper()}",
        class_name="button",
    )


def _row(entry: AuditRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(number(entry.seq), class_name="end muted"),
        rx.el.td(local_time(entry.at)),
        rx.el.td(entry.actor),
        rx.el.td(rx.el.span(entry.action, class_name="chip")),
        rx.el.td(entry.resource, class_name="mono"),
        rx.el.td(
            button(
                _t["audit.details"],
                AuditState.open_entry(entry.id),
                aria_haspopup="dialog",
                aria_label=_t["audit.details"] + " " + entry.seq.to(str),
            ),
            class_name="end",
        ),
        key=entry.id.to(str),
    )


def _entry() -> rx.Component:
    shown = AuditState.shown
    return dialog(
        rx.el.div(
            rx.el.dl(
                rx.el.div(rx.el.dt(_t["audit.when"]), rx.el.dd(local_time(shown.at))),
                rx.el.div(rx.el.dt(_t["audit.who"]), rx.el.dd(shown.actor)),
                rx.el.div(rx.el.dt(_t["audit.resource"]), rx.el.dd(shown.resource)),
                class_name="fact-list",
            ),
            rx.cond(
                AuditState.details.length() > 0,
                table(
                    [
                        (_t["audit.field"], ""),
                        (_t["audit.old"], ""),
                        (_t["audit.new"], ""),
                    ],
                    rx.foreach(AuditState.details, _change),
                    _t["audit.changes"],
                ),
                rx.el.p(_t["audit.no_changes"], class_name="muted"),
            ),
            rx.el.p(
                "sha256 ", rx.el.code(AuditState.shown_hash, dir="ltr"), class_name="muted hash"
            ),
            class_name="dialog-body",
        ),
        is_open=shown.id > 0,
        title=shown.action,
        on_close=AuditState.close_entry,
        wide=True,
    )


def _change(change: Change) -> rx.Component:
    return rx.el.tr(
        rx.el.td(change.name, class_name="mono"),
        rx.el.td(rx.cond(change.kind != "added", rx.el.del_(change.before)), class_name="diff-old"),
        rx.el.td(rx.cond(change.kind != "removed", rx.el.ins(change.after)), class_name="diff-new"),
        key=change.name,
    )

"""What waits, and for what."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.services.queue_service import WaitReason
from datanika.ui.components.frame import frame
from datanika.ui.components.link import link
from datanika.ui.components.pieces import empty, page_head, table
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.queue_state import QueueState
from datanika.ui.views.run_list import QueueRow
from datanika.ui.wrappers.values import duration, local_time

_t = I18nState.translations
_REASONS = {
    WaitReason.WORKER: _t["queue.waits_for_worker"],
    WaitReason.LIMIT: _t["queue.organization_limit"],
    WaitReason.RUN: _t["queue.waits_for_run"],
    WaitReason.UPSTREAM: _t["queue.waits_for_upstream"],
    WaitReason.PREFECT: _t["queue.prefect_unavailable"],
}


def queue_page() -> rx.Component:
    return frame(
        page_head(_t["queue.title"], _t["queue.text"], _places()),
        rx.el.section(
            rx.cond(
                QueueState.is_empty,
                empty("hourglass", _t["queue.empty.title"], _t["queue.empty.text"]),
                rx.fragment(
                    table(
                        [
                            (_t["column.position"], "end"),
                            (_t["column.run"], ""),
                            (_t["column.pipeline"], ""),
                            (_t["column.trigger"], ""),
                            (_t["column.waiting"], "end"),
                            (_t["column.reason"], ""),
                        ],
                        rx.foreach(QueueState.runs, _row),
                        _t["queue.title"],
                    ),
                    rx.cond(
                        QueueState.more > 0,
                        rx.el.p(_t["queue.more"], " ", QueueState.more, class_name="log-empty"),
                    ),
                ),
            ),
            class_name="card",
        ),
        active="/queue",
    )


def _places() -> rx.Component:
    """How many of the organisation's places are taken."""
    return rx.el.p(
        _t["queue.places"],
        " ",
        rx.el.strong(QueueState.places, id="places", dir="ltr"),
        class_name="muted",
    )


def _row(run: QueueRow) -> rx.Component:
    return rx.el.tr(
        rx.el.td(run.position, class_name="end number"),
        rx.el.td(
            link(rx.Var.create("#") + run.id.to(str), to=run.href, class_name="row-link number")
        ),
        rx.el.td(run.pipeline),
        rx.el.td(run.trigger, class_name="muted"),
        rx.el.td(duration(run.created_at), class_name="end"),
        rx.el.td(
            reason_text(run.reason),
            _detail(run),
            class_name="wide",
        ),
        key=run.id.to(str),
    )


def reason_text(reason: Any) -> rx.Var[str]:
    """Why a run waits, in words."""
    return rx.match(reason, *((key.value, text) for key, text in _REASONS.items()), "")


def _detail(run: QueueRow) -> rx.Component:
    """Which run, how many of how many, which upstreams and until when."""
    return rx.el.div(
        rx.cond(
            run.blocker_href != "",
            link(rx.Var.create("#") + run.blocker.to(str), to=run.blocker_href),
            rx.el.bdi(run.detail),
        ),
        rx.cond(
            run.waits_until,
            rx.fragment(" · ", _t["queue.until"], " ", local_time(run.waits_until)),
        ),
        class_name="muted",
    )

"""What ran, what runs, what waits."""

from __future__ import annotations

from datanika.ui.pages.runs.queue import queue_page
from datanika.ui.pages.runs.run import run_page
from datanika.ui.pages.runs.run_list import runs_page
from datanika.ui.routes import Page
from datanika.ui.state.queue_state import QueueState
from datanika.ui.state.run_list_state import RunListState
from datanika.ui.state.run_state import RunPageState

PAGES = (
    Page("/runs", runs_page, "Runs", RunListState.load_runs),
    Page("/queue", queue_page, "Queue", QueueState.load_queue),
    Page("/runs/[run_id]", run_page, "Run", RunPageState.load_run),
)

"""Pipelines: what they are made of, when they run."""

from __future__ import annotations

from datanika.ui.pages.pipelines.pipeline_list import pipelines_page
from datanika.ui.routes import Page
from datanika.ui.state.pipeline_list_state import PipelineListState

PAGES = (Page("/pipelines", pipelines_page, "Pipelines", PipelineListState.load_pipelines),)

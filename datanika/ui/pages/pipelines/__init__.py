"""Pipelines: what they are made of, when they run."""

from __future__ import annotations

from datanika.ui.pages.pipelines.backfills import backfills_page
from datanika.ui.pages.pipelines.builder import builder_page, new_pipeline_page
from datanika.ui.pages.pipelines.dependencies import dependencies_page
from datanika.ui.pages.pipelines.pipeline_list import pipelines_page
from datanika.ui.pages.pipelines.schedule import schedule_page
from datanika.ui.pages.pipelines.versions import versions_page
from datanika.ui.routes import Page
from datanika.ui.state.backfill_state import BackfillState
from datanika.ui.state.dependency_state import DependencyState
from datanika.ui.state.pipeline_builder_state import PipelineBuilderState
from datanika.ui.state.pipeline_list_state import PipelineListState
from datanika.ui.state.pipeline_versions_state import PipelineVersionsState
from datanika.ui.state.schedule_state import ScheduleState

_ONE = "/pipelines/[pipeline_id]"
PAGES = (
    Page("/pipelines", pipelines_page, "Pipelines", PipelineListState.load_pipelines),
    Page("/pipelines/new", new_pipeline_page, "New pipeline", PipelineBuilderState.load_new),
    Page(_ONE, builder_page, "Pipeline", PipelineBuilderState.load_builder),
    Page(f"{_ONE}/schedule", schedule_page, "Schedule", ScheduleState.load_schedules),
    Page(
        f"{_ONE}/dependencies", dependencies_page, "Dependencies", DependencyState.load_dependencies
    ),
    Page(f"{_ONE}/versions", versions_page, "Versions", PipelineVersionsState.load_versions),
    Page(f"{_ONE}/backfills", backfills_page, "Backfills", BackfillState.load_backfills),
)

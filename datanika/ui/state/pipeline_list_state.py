"""The organisation's pipelines, each with its last run."""

from __future__ import annotations

import reflex as rx

from datanika.services.paging import MAX_LIMIT, PageRequest
from datanika.services.pipeline_service import PipelineService
from datanika.services.run_service import RunService
from datanika.ui.state.run_state import start_run
from datanika.ui.state.tenant import TenantState, tenant_session
from datanika.ui.views import PipelineRow, pipeline_row


class PipelineListState(TenantState):
    pipelines: list[PipelineRow] = []
    is_empty: bool = False

    @rx.event
    async def load_pipelines(self) -> None:
        self.error = ""
        async with tenant_session() as (session, actor):
            service = PipelineService(session, actor)
            found = (await service.list(PageRequest(limit=MAX_LIMIT))).rows
            versions = await service.current_versions(found)
            latest = await RunService(session, actor).latest([item.id for item in found])
        rows = [
            pipeline_row(
                pipeline,
                [step["key"] for step in versions[pipeline.id].spec["steps"]],
                latest.get(pipeline.id),
            )
            for pipeline in found
        ]
        self.pipelines = rows
        self.is_empty = not rows

    @rx.event
    async def run_pipeline(self, pipeline_id: int) -> rx.event.EventSpec | None:
        """Start a run and show it."""
        return await start_run(self, pipeline_id)

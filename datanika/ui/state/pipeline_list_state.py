"""The organisation's pipelines, each with its last run."""

from __future__ import annotations

import reflex as rx

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
            service, runs = PipelineService(session, actor), RunService(session, actor)
            found = await service.list()
            rows = []
            for pipeline in found:
                spec = await service.spec(pipeline)
                last = await runs.list_runs(pipeline_id=pipeline.id, limit=1)
                rows.append(
                    pipeline_row(
                        pipeline, [step.key for step in spec.steps], last[0] if last else None
                    )
                )
        self.pipelines = rows
        self.is_empty = not rows

    @rx.event
    async def run_pipeline(self, pipeline_id: int) -> rx.event.EventSpec | None:
        """Start a run and show it."""
        return await start_run(self, pipeline_id)

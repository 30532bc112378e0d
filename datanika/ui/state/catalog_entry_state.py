"""One table of the catalog."""

from __future__ import annotations

import reflex as rx

from datanika.contracts.ad_hoc import AdHocAnswer, RowsResult
from datanika.contracts.jobs import JobAction
from datanika.errors import DatanikaError
from datanika.services.catalog_facts import facts_of
from datanika.services.catalog_service import CatalogService
from datanika.services.job_start import run_job
from datanika.services.lineage_service import LineageService
from datanika.ui.session import actor_of
from datanika.ui.state.catalog_list_state import connections_by_id
from datanika.ui.state.tenant import TenantState
from datanika.ui.views.catalog import (
    ChangeView,
    CheckView,
    ColumnView,
    EntryView,
    ImpactView,
    RowsChart,
    change_views,
    check_view,
    column_views,
    entry_view,
    impact_view,
    rows_chart,
)
from datanika.ui.views.transformations import Grid, grid_of

SAMPLE_ROWS = 20
IMPACT_DEPTH = 20


class CatalogEntryState(TenantState):
    """``column``: the one whose path and impact are shown."""

    entry: EntryView = EntryView()
    found: bool = False
    columns: list[ColumnView] = []
    tests: list[CheckView] = []
    changes: list[ChangeView] = []
    chart: RowsChart = RowsChart()
    column: str = ""
    impact: list[ImpactView] = []
    is_impact_cut: bool = False
    connections: dict[str, str] = {}
    is_sampling: bool = False
    sample: Grid = Grid([], [])
    failure: str = ""

    @rx.event
    async def load_entry(self) -> None:
        """Show the entry of the address."""
        self.reset()
        given = str(self.router.page.params.get("entry_id", ""))
        if not given.isdecimal() or len(given) > 15:
            self.error = "error.not_found"
            return
        async with self._attempt() as (session, actor):
            entry = await CatalogService(session, actor).get(int(given))
            facts = await facts_of(session, actor, entry)
            names = await connections_by_id(session, actor)
        if self.error:
            return
        self.entry = entry_view(entry, facts)
        self.columns = column_views(entry, facts)
        self.tests = [check_view(one) for one in facts.tests]
        self.changes = change_views(facts.built)
        self.chart = rows_chart(facts.built)
        self.connections = {str(key): name for key, name in names.items()}
        self.found = True

    @rx.event
    async def choose_column(self, column: str) -> None:
        """Show where a column comes from and what depends on it; the same again: nothing."""
        if not self.found:
            return
        self.impact, self.is_impact_cut = [], False
        if not column or column == self.column:
            self.column = ""
            return
        async with self._attempt() as (session, actor):
            found = await LineageService(session, actor).impact(self.entry.id, column, IMPACT_DEPTH)
        if self.error:
            return
        self.column = column
        self.impact = [impact_view(one) for one in found.items[:100]]
        self.is_impact_cut = found.truncated or len(found.items) > 100

    @rx.event(background=True)
    async def take_sample(self) -> None:
        """Read the first rows of the table."""
        async with self:
            if not self.found or self.is_sampling:
                return
            self._clear_error()
            self.is_sampling, self.failure = True, ""
            entry = self.entry
            headers = self.router_data.get("headers", {})
        answer: AdHocAnswer | None = None
        refused: DatanikaError | None = None
        request = {
            "table": entry.name, "schema_name": entry.schema_name, "columns": [],
            "limit": SAMPLE_ROWS,
        }  # fmt: skip
        try:
            actor = await actor_of(headers)
            if actor is not None:
                answer = await run_job(
                    actor, JobAction.PREVIEW_CONNECTION, entry.connection_id, request
                )
        except DatanikaError as error:
            refused = error
        async with self:
            self.is_sampling = False
            if self.entry.id != entry.id:
                return
            if refused is not None:
                self._fail(refused)
            elif answer is not None and isinstance(answer.result, RowsResult):
                self.sample = grid_of(answer.result)
            elif answer is not None and answer.failure is not None:
                self.failure = answer.failure.message

"""What a table's page shows of what the runs told."""

from __future__ import annotations

from datanika.models import CatalogEntry
from datanika.services.catalog_facts import Built
from datanika.ui.views.catalog import CHART_HEIGHT, CHART_WIDTH, change_views, entry_row, rows_chart


def built(run_id: int, rows: int | None, *changes: dict[str, str]) -> Built:
    return Built(run_id, None, "succeeded", rows, changes)


def test_the_chart_ends_at_its_edges_and_stays_inside() -> None:
    chart = rows_chart(tuple(built(n, rows) for n, rows in enumerate((5, None, 9, 7))))
    points = [tuple(map(float, one.split(","))) for one in chart.points.split()]
    assert [x for x, _ in points] == [0, CHART_WIDTH / 2, CHART_WIDTH]
    assert points[1][1] < points[2][1] < points[0][1] <= CHART_HEIGHT
    assert (chart.first, chart.last, chart.least, chart.most) == (5, 7, 5, 9)
    assert rows_chart((built(1, 3),)).points == ""
    assert rows_chart((built(1, 3), built(2, 3))).points != ""


def test_changes_are_shown_the_newest_first() -> None:
    added = {"change": "added", "column": "b", "after": "text"}
    retyped = {"change": "retyped", "column": "a", "before": "int", "after": "text"}
    views = change_views((built(1, 1, added), built(2, 1), built(3, 1, retyped)))
    assert [(one.run, one.column, one.before, one.after) for one in views] == [
        ("#3", "a", "int", "text"),
        ("#1", "b", "", "text"),
    ]


def test_a_hit_in_a_column_is_named() -> None:
    entry = CatalogEntry(
        id=4, org_id=1, connection_id=2, schema_name="raw", name="orders", kind="table",
        columns=[{"name": "Amount"}, {"name": "id"}], upstream=[],
    )  # fmt: skip
    assert entry_row(entry, "warehouse", "amo").match == "Amount"
    assert entry_row(entry, "warehouse", "").match == ""

"""A lineage of thousands of tables, and how fluently a browser moves it."""

from __future__ import annotations

from playwright.async_api import Page
from sqlalchemy import insert

from datanika.db import get_session
from datanika.models import CatalogEntry, LineageEdge
from datanika.services.actor import Actor
from datanika.services.connection_service import ConnectionService

LAYERS = ("raw", "staging", "intermediate", "marts")


async def make_map(actor: Actor, tables: int = 2000) -> list[str]:
    """``tables`` catalog entries in four layers with two inputs each, and sources before them; the
    names, the last one furthest from the sources."""
    async with get_session(actor.scope) as session:
        connections = ConnectionService(session, actor)
        source = await connections.create("big_source", "files", {"format": "csv"}, "")
        warehouse = await connections.create("big", "duckdb", {"path": "big.duckdb"}, "")
        per_layer = tables // len(LAYERS)
        names = [
            (layer, f"{layer}_table_{number:04}") for layer in LAYERS for number in range(per_layer)
        ]
        columns = [{"name": f"column_{n}", "data_type": "bigint"} for n in range(6)]
        ids = (
            await session.scalars(
                insert(CatalogEntry).returning(CatalogEntry.id, sort_by_parameter_order=True),
                [
                    {
                        "org_id": actor.org_id,
                        "connection_id": warehouse.id,
                        "schema_name": layer,
                        "name": name,
                        "kind": "table" if layer == "raw" else "view",
                        "columns": columns,
                        "upstream": [],
                    }
                    for layer, name in names
                ],
            )
        ).all()
        edges = []
        for at, entry_id in enumerate(ids):
            layer, place = divmod(at, per_layer)
            before = [(source.id, "files", f"file_{place:04}.csv")]
            if layer:
                # Neighbours of its own place, and one from far away now and then.
                for step in (0, 7 if place % 9 else per_layer // 3):
                    schema, name = names[(layer - 1) * per_layer + (place + step) % per_layer]
                    before.append((warehouse.id, schema, name))
                before = before[1:]
            for connection_id, schema, name in before:
                same = {
                    "org_id": actor.org_id,
                    "entry_id": entry_id,
                    "from_connection_id": connection_id,
                    "from_schema": schema,
                    "from_name": name,
                }
                edges.append(same | {"kind": "reads", "to_column": None, "from_column": None})
                edges += [
                    same | {"kind": "copy", "to_column": column, "from_column": column}
                    for column in ("column_0", "column_1")
                ]
        await session.execute(insert(LineageEdge), edges)
    return [f"{layer}.{name}" for layer, name in names]


_COUNT = """() => {
  window.framesSeen = [];
  const step = (at) => {
    window.framesSeen.push(at);
    if (window.counting) requestAnimationFrame(step);
  };
  window.counting = true;
  requestAnimationFrame(step);
}"""
_READ = "() => { window.counting = false; return window.framesSeen; }"


async def pan_fps(page: Page, moves: int = 120) -> float:
    """Frames a second while the graph on ``page`` is dragged to and fro."""
    canvas = page.locator(".lineage-canvas canvas")
    box = await canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.evaluate(_COUNT)
    for at in range(moves):
        # To and fro, so that it never runs out of what there is to draw.
        turn = at % 40
        shift = turn if turn < 20 else 40 - turn
        await page.mouse.move(x + shift * 9, y + shift * 6)
        await page.wait_for_timeout(8)
    frames: list[float] = await page.evaluate(_READ)
    await page.mouse.up()
    return (len(frames) - 1) / ((frames[-1] - frames[0]) / 1000)

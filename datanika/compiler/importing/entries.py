"""Sources and exposures: what a properties file holds as a whole, beside what it says of others."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from datanika.compiler.importing.findings import Findings
from datanika.compiler.importing.properties import Properties, mappings, reads
from datanika.compiler.importing.settings import Settings


@dataclass
class Found:
    """One resource while it is read. ``line``: where its text starts in the file."""

    name: str
    kind: str
    path: str
    sql: str = ""
    line: int = 1
    inline: Settings = field(default_factory=dict)
    entry: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    fields: Settings = field(default_factory=dict)
    unit_tests: list[dict[str, Any]] = field(default_factory=list)


def read_source(entry: dict[str, Any], path: str, properties: Properties, found: Findings) -> Found:
    """A source with its tables."""
    source = str(entry.get("name"))
    for key in ("database", "catalog", "loader", "quoting", "overrides"):
        if entry.get(key):
            found.changed(
                "setting_ignored", path, f"{key} of source {source} has no meaning here.",
                getattr(entry, "line", None),
            )  # fmt: skip
    tables = []
    for table in mappings(entry.get("tables")):
        config = properties.config(table)
        tables.append(
            {
                "name": table.get("name"),
                "identifier": table.get("identifier"),
                "description": properties.description(table),
                "columns": properties.columns(table, path, source),
                "tests": properties.tests(table, path, source),
                "event_time": config.get("event_time"),
                "tags": [*_tags(properties.config(entry)), *_tags(config)],
                "meta": config.get("meta") or {},
                **_freshness({**table, **config}),
            }
        )
    name = "source_" + re.sub(r"[^a-z0-9_]", "_", source.lower())
    block = {
        "source": source,
        "schema_name": entry.get("schema"),
        "tables": tables,
        **_freshness({**entry, **properties.config(entry)}),
    }
    return Found(
        name[:63], "source", path, line=getattr(entry, "line", 1),
        fields={"source": block, "description": properties.description(entry)},
    )  # fmt: skip


def read_exposure(
    entry: dict[str, Any],
    path: str,
    properties: Properties,
    found: Findings,
    taken: Collection[str],
) -> Found:
    """An exposure, under another name where its own is ``taken``."""
    refs, sources = reads(entry)
    owner = entry.get("owner") or {}
    block = {
        key: str(entry[key])
        for key in ("type", "label", "url", "maturity")
        if entry.get(key) is not None
    }
    config = properties.config(entry)
    name = str(entry.get("name"))
    if name in taken:
        found.changed(
            "renamed", path, f"Exposure {name} is called exposure_{name}.",
            getattr(entry, "line", None), name,
        )  # fmt: skip
        name = f"exposure_{name}"
    return Found(
        name, "exposure", path, line=getattr(entry, "line", 1),
        fields={
            "exposure": block
            | {
                "refs": refs,
                "sources": sources,
                "owner_name": owner.get("name"),
                "owner_email": owner.get("email"),
            },
            "description": properties.description(entry),
            "tags": _tags(config),
            "meta": config.get("meta") or {},
            "enabled": config.get("enabled", True),
        },
    )  # fmt: skip


def _tags(config: Mapping[str, Any]) -> list[str]:
    value = config.get("tags")
    return [str(tag) for tag in (value if isinstance(value, list) else [value]) if tag]


def _freshness(entry: Mapping[str, Any]) -> Settings:
    freshness = entry.get("freshness")
    found: Settings = {"loaded_at_field": entry.get("loaded_at_field")}
    if isinstance(freshness, dict):
        found["freshness"] = {
            key: dict(value) if isinstance(value, dict) else value
            for key, value in freshness.items()
            if value
        }
    return found

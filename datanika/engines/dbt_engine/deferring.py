"""A run that reads what it does not build from production."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from datanika.contracts.events import Failure
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.dbt_engine.invocation import compile_failure
from datanika.engines.dbt_engine.parsed import KnownParse, parse_project
from datanika.engines.dbt_engine.profile import TARGET
from datanika.engines.dbt_engine.project_files import write_files

PRODUCTION = "production"
"""Folder of the manifest that a run defers to."""


def keep_production(
    step: ResolvedTransform, folder: Path, arguments: Sequence[str]
) -> Failure | None:
    """Where the project builds in production, as a manifest that dbt defers to; why that failed."""
    assert step.production_schema is not None
    there = step.step.model_copy(update={"default_schema": step.production_schema})
    step = step.model_copy(update={"files": step.files | step.production_files, "step": there})
    place = folder / PRODUCTION
    place.mkdir()
    write_files(step, place)
    profile = yaml.safe_load((folder / "profiles.yml").read_text("utf-8"))
    profile[step.project_name]["outputs"][TARGET]["schema"] = step.production_schema
    (place / "profiles.yml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    moved = [str(place) if one == str(folder) else one for one in arguments]
    manifest, error = parse_project(step, place, moved, KnownParse())
    if manifest is None:
        return compile_failure(error)
    manifest.write(str(place / "manifest.json"))
    return None

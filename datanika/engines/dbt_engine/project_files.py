"""The files of a step's project."""

from __future__ import annotations

from pathlib import Path

import yaml

from datanika.contracts.steps import ResolvedTransform
from datanika.errors import TerminalStepError


def write_files(step: ResolvedTransform, folder: Path) -> None:
    """Write the project; raises :class:`TerminalStepError` for a path that leads out of it."""
    for name, content in step.files.items():
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or path.name == "profiles.yml":
            raise TerminalStepError(
                f"The project may not write {name!r}.", code="project_path_refused"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "dbt_project.yml" and step.destination.kind == "duckdb":
            content = _without_file_access(content)
        path.write_text(content, encoding="utf-8")


def _without_file_access(project: str) -> str:
    """Seeds through INSERT: in a DuckDB without file access they cannot be COPYed."""
    content = yaml.safe_load(project)
    content["seeds"] = {**(content.get("seeds") or {}), "+fast": False}
    text: str = yaml.safe_dump(content, sort_keys=False)
    return text

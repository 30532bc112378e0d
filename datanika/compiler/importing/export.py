"""Transformations as a plain dbt project, for the dbt CLI and anybody's Git."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from datanika.compiler.dbt_project import build_project
from datanika.compiler.packages import packages_of
from datanika.contracts.spec import TransformationSpec, TransformStep

_README = """\
# {name}

A dbt project, exported from Datanika.

Write a profile called `{name}` (see dbt's documentation of `profiles.yml`) for {kind}, then run
`dbt build`. Models without a schema of their own go into the profile's schema.
{packages}"""
_PACKAGES = """
`dbt_packages/` has Datanika's own versions of {names}. `dbt deps` would put those of dbt's hub in
their place.
"""


def export_project(
    name: str,
    destination_id: int,
    destination_kind: str,
    transformations: Sequence[TransformationSpec],
) -> dict[str, str]:
    """Path -> content: what Datanika's engine builds, without anything of the platform."""
    step = TransformStep(key="export", destination_id=destination_id)
    files = build_project(name, step, destination_kind, transformations, (), fixed_schema=False)
    packages = packages_of(transformations)
    more = _PACKAGES.format(names=" and ".join(packages)) if packages else ""
    files["README.md"] = _README.format(name=name, kind=destination_kind, packages=more)
    if packages:
        wanted = [{"package": f"datanika/{package}", "version": "1.0.0"} for package in packages]
        files["packages.yml"] = yaml.safe_dump({"packages": wanted}, sort_keys=False)
    return dict(sorted(files.items()))

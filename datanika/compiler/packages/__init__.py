"""The store of dbt packages that a project may use: files of the platform, there without a network.

Each folder is a package of our own writing under the names that dbt projects know. A tenant names
packages and never brings one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

from datanika.contracts.spec import TransformationSpec
from datanika.errors import SpecError

_DEFINITION = re.compile(r"\{%-?\s*(macro|test)\s+(\w+)\s*\(")


@dataclass(frozen=True)
class Package:
    name: str

    @cached_property
    def files(self) -> dict[str, str]:
        """Path in the package -> content."""
        folder = files(__package__) / self.name
        found = {
            f"macros/{path.name}": path.read_text("utf-8")
            for path in sorted(folder.iterdir(), key=lambda path: path.name)
            if path.name.endswith(".sql")
        }
        project = (
            f"name: {self.name}\nversion: 1.0.0\nconfig-version: 2\nmacro-paths: [macros]\n"
            "model-paths: []\nseed-paths: []\ntest-paths: []\nsnapshot-paths: []\n"
        )
        return {"dbt_project.yml": project} | found

    @cached_property
    def _defined(self) -> tuple[tuple[str, str], ...]:
        return tuple(
            (match[1], match[2])
            for text in self.files.values()
            for match in _DEFINITION.finditer(text)
            if not match[2].startswith("dx_")
        )

    @cached_property
    def macros(self) -> frozenset[str]:
        """What a template may call as ``package.macro``."""
        return frozenset(name for kind, name in self._defined if kind == "macro")

    @cached_property
    def tests(self) -> frozenset[str]:
        """Generic tests, without the package's name."""
        return frozenset(name for kind, name in self._defined if kind == "test")


PACKAGES = {name: Package(name) for name in ("dbt_expectations", "dbt_utils")}


def packages_of(transformations: Iterable[TransformationSpec]) -> tuple[str, ...]:
    """Names of the packages that a destination's project uses, sorted. Raises :class:`SpecError`
    ``package_refused`` and, for a second project, ``duplicate_project``."""
    found: set[str] = set()
    projects = [item for item in transformations if item.project is not None]
    if len(projects) > 1:
        raise SpecError(
            f"{projects[0].name} and {projects[1].name} are both the project's settings.",
            code="duplicate_project",
            field=f"transformations.{projects[1].name}",
            hint="Keep one of them.",
        )
    for item in projects:
        for index, name in enumerate(item.project.packages if item.project else ()):
            if name not in PACKAGES:
                raise SpecError(
                    f"There is no package {name!r} in the store.",
                    code="package_refused",
                    field=f"transformations.{item.name}.project.packages.{index}",
                    hint=f"Packages: {', '.join(sorted(PACKAGES))}.",
                )
            found.add(name)
    return tuple(sorted(found))

"""A dbt project's files as transformations of one destination, and what could not be taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from datanika.compiler.dbt_project import (
    GENERATE_SCHEMA_NAME,
    OWN_MACROS,
    PREFIXED_SCHEMA_NAME,
)
from datanika.compiler.importing.blocks import (
    Block,
    as_macro,
    outside_blocks,
    read_blocks,
    take_config,
)
from datanika.compiler.importing.entries import Found, read_exposure, read_source
from datanika.compiler.importing.findings import Findings
from datanika.compiler.importing.properties import Properties, mappings
from datanika.compiler.importing.settings import Settings, fields_of, folder_settings, merge
from datanika.compiler.importing.yml import YmlRefused, read_yml
from datanika.compiler.packages import PACKAGES
from datanika.contracts.spec import TransformationSpec
from datanika.errors import InvalidInput

_PATHS = {
    "model": ("model-paths", "models"),
    "test": ("test-paths", "tests"),
    "macro": ("macro-paths", "macros"),
    "seed": ("seed-paths", "seeds"),
    "snapshot": ("snapshot-paths", "snapshots"),
    "analysis": ("analysis-paths", "analyses"),
}
_SECTIONS = {"model": "models", "seed": "seeds", "snapshot": "snapshots", "test": "data_tests"}
_KNOWN = frozenset(
    {"name", "version", "config-version", "profile", "vars", "models", "seeds", "snapshots",
     "tests", "data_tests", "sources", "exposures", "clean-targets", "require-dbt-version",
     "target-path", "log-path", "packages-install-path", "docs-paths", "asset-paths", "flags",
     "query-comment", "quoting", "metrics", "semantic-models", "saved-queries", "unit_tests"}
    | {key for key, _ in _PATHS.values()}
)  # fmt: skip
_UNSUPPORTED = ("metrics", "semantic_models", "saved_queries", "groups", "functions", "analyses")


@dataclass(frozen=True)
class Imported:
    spec: TransformationSpec
    path: str
    line: int


def find_root(files: Mapping[str, str]) -> str:
    """The folder of dbt_project.yml, ``""`` or with a slash at its end. Raises InvalidInput."""
    roots = sorted(
        (path.count("/"), path[: -len("dbt_project.yml")])
        for path in files
        if PurePosixPath(path).name == "dbt_project.yml"
    )
    if not roots:
        raise InvalidInput(
            "There is no dbt_project.yml.",
            code="project_missing",
            field="body",
            hint="Send the folder that holds it.",
        )
    if len(roots) > 1 and roots[0][0] == roots[1][0]:
        raise InvalidInput("There are two dbt projects.", code="project_ambiguous", field="body")
    return roots[0][1]


def read_project(files: Mapping[str, str], destination_id: int, found: Findings) -> list[Imported]:
    """What ``files`` (path -> text) say, read in the order of their paths."""
    root = find_root(files)
    inside = {path[len(root) :]: text for path, text in files.items() if path.startswith(root)}
    return _Reader(dict(sorted(inside.items())), destination_id, found).read()


class _Reader:
    def __init__(self, files: dict[str, str], destination_id: int, found: Findings) -> None:
        self._files, self._destination_id, self._found = files, destination_id, found
        self._project = self._yml("dbt_project.yml") or {}
        self._name = str(self._project.get("name") or "project")
        self._places = {kind: self._folders(*keys) for kind, keys in _PATHS.items()}
        self._items: dict[str, Found] = {}
        self._docs: dict[str, str] = {}
        self._fixtures: dict[str, str] = {}
        # As dbt does it where no macro says otherwise.
        self._schemas = "prefixed"
        self._named: set[tuple[str, str]] = set()

    def read(self) -> list[Imported]:
        self._check_project()
        ymls = []
        for path, text in self._files.items():
            if path == OWN_MACROS and text in (GENERATE_SCHEMA_NAME, PREFIXED_SCHEMA_NAME):
                self._schemas = "exact" if text == GENERATE_SCHEMA_NAME else "prefixed"
                continue
            kind = self._kind_of(path)
            name = PurePosixPath(path).stem
            if path.endswith(".md"):
                for block in read_blocks(text):
                    if block.kind == "docs":
                        self._docs[block.name] = block.body.strip()
            elif path in ("packages.yml", "dependencies.yml"):
                continue
            elif path == "profiles.yml":
                self._found.changed(
                    "profile_ignored", path, "Credentials come from the connection, not from here."
                )
            elif kind is None or path == "dbt_project.yml":
                continue
            elif path.endswith((".yml", ".yaml")):
                ymls.append(path)
            elif kind == "analysis":
                self._found.changed("analysis_ignored", path, "Analyses build nothing.")
            elif path.endswith(".py"):
                self._found.refused("python_model_refused", path, "Python models are refused.")
            elif path.endswith(".csv"):
                self._csv(kind, path, name, text)
            else:
                self._sql(kind, path, name, text)
        properties = Properties(self._docs, self._fixtures, self._found)
        for path in ymls:
            self._properties(path, properties)
        self._project_item()
        return [made for item in self._items.values() if (made := self._finish(item, properties))]

    def _folders(self, key: str, default: str) -> tuple[str, ...]:
        value = self._project.get(key, [default])
        if key == "test-paths" and "test-paths" not in self._project:
            value = ["tests"]
        found = []
        for one in value if isinstance(value, list) else [value]:
            parts = PurePosixPath(str(one)).parts
            if str(one).startswith("/") or ".." in parts or not parts or "{" in str(one):
                self._found.refused(
                    "project_path_refused", "dbt_project.yml", f"{key}: {str(one)[:200]!r}."
                )
            else:
                found.append("/".join(parts) + "/")
        return tuple(found)

    def _kind_of(self, path: str) -> str | None:
        for kind, places in self._places.items():
            if path.startswith(places or ("\0",)):
                return kind
        return None

    def _yml(self, path: str) -> Any:
        try:
            content = read_yml(self._files.get(path, ""))
        except YmlRefused as error:
            self._found.refused("yml_refused", path, str(error), error.line)
            return None
        if content is not None and not isinstance(content, dict):
            self._found.refused("yml_refused", path, "A mapping is needed.", 1)
            return None
        return content

    def _check_project(self) -> None:
        path = "dbt_project.yml"
        for key in self._project:
            if key in ("on-run-start", "on-run-end"):
                self._found.refused("hook_refused", path, f"{key} is refused.")
            elif key == "dispatch":
                self._found.refused(
                    "dispatch_refused", path, "Macros are searched for in a fixed order."
                )
            elif key not in _KNOWN:
                self._found.changed("setting_ignored", path, f"{key} has no meaning here.")

    def _project_item(self) -> None:
        packages: list[str] = []
        for path in ("packages.yml", "dependencies.yml"):
            content = self._yml(path) or {}
            for entry in [*mappings(content.get("packages")), *mappings(content.get("projects"))]:
                full = str(entry.get("package") or "")
                name = full.rpartition("/")[2].replace("-", "_")
                if name in PACKAGES and full:
                    packages.append(name)
                    self._found.changed(
                        "package_replaced", path, f"{full}: the platform's own {name} is used.",
                        getattr(entry, "line", None),
                    )  # fmt: skip
                else:
                    what = ", ".join(f"{key}: {str(value)[:100]}" for key, value in entry.items())
                    self._found.refused(
                        "package_refused", path, f"{what} is not in the store: "
                        f"{', '.join(PACKAGES)}.", getattr(entry, "line", None),
                    )  # fmt: skip
        variables: dict[str, Any] = {}
        given = self._project.get("vars")
        for key, value in given.items() if isinstance(given, dict) else ():
            inner = value if isinstance(value, dict) and key == self._name else {key: value}
            for name, one in inner.items():
                if isinstance(one, dict | list):
                    self._found.refused(
                        "var_refused", "dbt_project.yml", f"var {name}: only plain values are kept."
                    )
                else:
                    variables[name] = one
        custom = any(item.name == "generate_schema_name" for item in self._items.values())
        if custom:
            # Nothing is known of what it does: the tenant's choice is exact or prefixed.
            item = self._items.pop("generate_schema_name")
            self._found.refused(
                "schema_macro_refused", item.path, "Schemas are exact or prefixed: see the "
                "project's settings. Here they are taken as exact.", item.line,
            )  # fmt: skip
        project: Settings = {
            "vars": variables,
            "packages": sorted(set(packages)),
            "schema_names": "exact" if custom else self._schemas,
        }
        self._add(Found("dbt_project", "project", "dbt_project.yml", fields={"project": project}))

    def _csv(self, kind: str, path: str, name: str, text: str) -> None:
        if kind == "seed":
            self._add(Found(name, "seed", path, text, folders=self._inner(kind, path)))
        elif kind == "test":
            self._fixtures[name] = text

    def _sql(self, kind: str, path: str, name: str, text: str) -> None:
        folders = self._inner(kind, path)
        if kind == "macro" or (kind == "test" and folders[:1] == ("generic",)):
            self._macros(path, text)
            return
        blocks = [block for block in read_blocks(text) if block.kind in ("snapshot", "test")]
        for block in blocks:
            if block.kind == "snapshot":
                self._with_config(
                    Found(
                        block.name, "snapshot", path, block.body.removesuffix("\n"), block.line,
                        folders=folders,
                    )
                )  # fmt: skip
            else:
                self._macro(path, block)
        if not blocks and kind in ("model", "test"):
            self._with_config(Found(name, kind, path, text, folders=folders))

    def _macros(self, path: str, text: str) -> None:
        for block in read_blocks(text):
            self._macro(path, block)
        if outside_blocks(text):
            self._found.changed("text_ignored", path, "What stands beside the macros is left out.")

    def _macro(self, path: str, block: Block) -> None:
        if block.kind in ("macro", "test"):
            name, text = as_macro(block)
            self._add(Found(name, "macro", path, text, block.line))
        elif block.kind == "materialization":
            self._found.refused(
                "materialization_refused", path, f"Materialization {block.name} is refused.",
                block.line,
            )  # fmt: skip

    def _with_config(self, item: Found) -> None:
        item.sql, item.inline, unread, line = take_config(item.sql)
        for key in unread:
            self._found.refused(
                "config_not_literal", item.path, f"config({key}=…) of {item.name} is no literal.",
                line, item.name,
            )  # fmt: skip
        self._add(item)

    def _inner(self, kind: str, path: str) -> tuple[str, ...]:
        for place in self._places[kind]:
            if path.startswith(place):
                return PurePosixPath(path[len(place) :]).parent.parts
        return ()

    def _add(self, item: Found) -> None:
        other = self._items.get(item.name)
        if other is not None:
            if {item.kind, other.kind} & {"exposure", "source"} or "macro" in (
                item.kind, other.kind,
            ):  # fmt: skip
                message = f"{item.name} is also a {other.kind} in {other.path}; names are shared."
            else:
                message = f"{item.name} is also in {other.path}."
            self._found.refused("name_taken", item.path, message, item.line, item.name)
            return
        self._items[item.name] = item

    def _properties(self, path: str, properties: Properties) -> None:
        content = self._yml(path)
        if content is None:
            return
        for key in _UNSUPPORTED:
            if content.get(key):
                self._found.refused("section_refused", path, f"{key} are not known here.")
        for kind in ("model", "seed", "snapshot", "test", "macro"):
            sections = {"test": ("data_tests", "tests"), "macro": ("macros",)}.get(
                kind, (_SECTIONS.get(kind, ""),)
            )
            for section in sections:
                for entry in mappings(content.get(section)):
                    self._describe(kind, entry, path)
        for entry in mappings(content.get("sources")):
            self._add(read_source(entry, path, properties, self._found))
        for entry in mappings(content.get("exposures")):
            self._add(read_exposure(entry, path, properties, self._found, self._items))
        for entry in mappings(content.get("unit_tests")):
            model = self._items.get(str(entry.get("model")))
            test = properties.unit_test(entry, path)
            if test is not None and model is not None and model.kind == "model":
                model.unit_tests.append(test)
            elif test is not None:
                self._found.refused(
                    "unit_test_refused", path, f"There is no model {entry.get('model')}.",
                    getattr(entry, "line", None),
                )  # fmt: skip

    def _describe(self, kind: str, entry: dict[str, Any], path: str) -> None:
        name = str(entry.get("name"))
        line = getattr(entry, "line", None)
        if kind == "snapshot" and entry.get("relation"):
            relation = str(entry["relation"])
            sql = f"select * from {{{{ {relation} }}}}"
            self._add(Found(name, "snapshot", path, sql, line or 1))
        item = self._items.get(name)
        if item is None or item.kind != kind:
            self._found.changed("properties_unused", path, f"There is no {kind} {name}.", line)
            return
        if entry.get("versions"):
            self._found.refused("model_version_refused", path, f"{name} has versions.", line, name)
        if (kind, name) in self._named:
            self._found.refused("properties_twice", path, f"{name} is described twice.", line, name)
            return
        self._named.add((kind, name))
        item.entry = entry

    def _finish(self, item: Found, properties: Properties) -> Imported | None:
        entry = item.entry
        fields: Settings = {
            "name": item.name, "kind": item.kind, "destination_id": self._destination_id,
            "sql": item.sql,
        }  # fmt: skip
        if item.kind in ("model", "seed", "snapshot", "test"):
            section = self._project.get(_SECTIONS[item.kind]) or (
                self._project.get("tests") if item.kind == "test" else None
            )
            layers = folder_settings(section, self._name, item.folders, item.name)
            settings = merge(*layers, properties.config(entry), item.inline)
            fields |= fields_of(item.kind, settings, item.path, item.name, self._found)
        if entry:
            fields["description"] = properties.description(entry)
        if entry and item.kind in ("model", "seed", "snapshot"):
            fields["columns"] = properties.columns(entry, item.path, item.name)
            fields["tests"] = properties.tests(entry, item.path, item.name)
        if entry and item.kind == "model":
            fields["constraints"] = properties.constraints(entry, item.path, item.name)
        if item.unit_tests:
            fields["unit_tests"] = item.unit_tests
        try:
            spec = TransformationSpec.model_validate(fields | item.fields)
        except ValidationError as error:
            for one in error.errors()[:5]:
                where = ".".join(str(part) for part in one["loc"])
                self._found.refused(
                    "value_refused", item.path, f"{item.name}: {where}: {one['msg']}",
                    item.line, item.name,
                )  # fmt: skip
            return None
        return Imported(spec, item.path, item.line)

"""What the pages of transformations show, and what their form becomes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from datanika.contracts.ad_hoc import LintIssue, RowsResult
from datanika.contracts.api.projects import CompletionOut
from datanika.contracts.spec import ColumnSpec, TransformationSpec
from datanika.errors import InvalidInput
from datanika.models import Transformation, TransformationVersion
from datanika.services.transformation_graph import Neighbour
from datanika.ui.views import iso

MAX_COMPLETIONS = 1500
MAX_COLUMNS = 40
MAX_CELL = 160
"""Characters of a value that a preview sends to the browser."""

_STARTS = {
    "model": "select\n    1 as id\n",
    "test": "-- The rows that should not be there: none, and the test passes.\n"
    "select 1 as id\nwhere 1 = 0\n",
    "macro": "{% macro NAME(column) %}\n    trim({{ column }})\n{% endmacro %}\n",
    "seed": "id,name\n1,first\n",
    "snapshot": "select\n    1 as id\n",
}
_BLOCKS: dict[str, dict[str, Any]] = {
    "snapshot": {"snapshot": {"strategy": "check"}, "unique_key": ["id"]},
    "exposure": {"exposure": {"type": "dashboard"}},
    "project": {"project": {}},
}
_IN_FORM = frozenset(
    {
        "name", "kind", "destination_id", "sql", "materialization", "target_schema", "unique_key",
        "description", "tags", "columns", "enabled", "tests", "incremental_strategy",
        "on_schema_change", "contract_enforced",
    }
)  # fmt: skip
"""Fields that have an input of their own; the others stand in the block of further settings."""


@dataclass(frozen=True)
class TransformationRow:
    id: int
    name: str
    kind: str
    materialization: str
    destination: str
    description: str
    tags: list[str]
    tests: int
    enabled: bool
    updated_at: str | None
    href: str


def transformation_row(row: Transformation, destination: str) -> TransformationRow:
    spec = row.spec
    columns = spec.get("columns") or ()
    return TransformationRow(
        id=row.id,
        name=row.name,
        kind=row.kind,
        materialization=spec.get("materialization", "") if row.kind == "model" else "",
        destination=destination,
        description=row.description.split("\n")[0][:200],
        tags=list(spec.get("tags") or ())[:6],
        tests=len(spec.get("tests") or ())
        + sum(len(column.get("tests") or ()) for column in columns)
        + len(spec.get("unit_tests") or ()),
        enabled=bool(spec.get("enabled", True)),
        updated_at=iso(row.updated_at),
        href=f"/transformations/{row.id}",
    )


@dataclass(frozen=True)
class ColumnRow:
    """A described column in the form. ``tests`` is a list in YAML, without its brackets."""

    key: str
    name: str = ""
    description: str = ""
    data_type: str = ""
    tests: str = ""


@dataclass(frozen=True)
class TransformationView:
    """What the form of the editor begins with."""

    id: int = 0
    name: str = ""
    kind: str = "model"
    has_sql: bool = True
    is_relation: bool = True
    can_compile: bool = True
    destination: str = ""
    target_schema: str = ""
    unique_key: str = ""
    description: str = ""
    tags: str = ""
    tests: str = ""
    enabled: bool = True
    contract_enforced: bool = False
    incremental_strategy: str = ""
    on_schema_change: str = ""
    settings: str = ""
    revision: int = 0
    updated_at: str | None = None


def transformation_view(row: Transformation, destination: str) -> TransformationView:
    spec = TransformationSpec.model_validate(row.spec)
    return TransformationView(
        id=row.id,
        name=row.name,
        kind=row.kind,
        has_sql=row.kind in _STARTS,
        is_relation=row.kind in ("model", "seed", "snapshot"),
        can_compile=row.kind in ("model", "snapshot", "test"),
        destination=destination,
        target_schema=spec.target_schema or "",
        unique_key=", ".join(spec.unique_key),
        description=spec.description,
        tags=", ".join(spec.tags),
        tests=_inline(spec.tests),
        enabled=spec.enabled,
        contract_enforced=spec.contract_enforced,
        incremental_strategy=spec.incremental_strategy or "",
        on_schema_change=spec.on_schema_change or "",
        settings=_settings(spec),
        revision=row.revision,
        updated_at=iso(row.updated_at),
    )


def column_rows(columns: Iterable[ColumnSpec]) -> list[ColumnRow]:
    return [
        ColumnRow(
            key=str(index),
            name=column.name,
            description=column.description,
            data_type=column.data_type or "",
            tests=_inline(column.tests),
        )
        for index, column in enumerate(columns)
    ]


def first_spec(name: str, kind: str, destination_id: int) -> TransformationSpec:
    """A new transformation that can be saved as it is."""
    content: dict[str, Any] = {"name": name, "kind": kind, "destination_id": destination_id}
    content["sql"] = _STARTS.get(kind, "").replace("NAME", name)
    content |= _BLOCKS.get(kind, {})
    if kind == "source":
        content["source"] = {"source": name, "tables": []}
    return checked(content)


def spec_of_form(
    form: Mapping[str, Any], old: TransformationSpec, columns: Iterable[ColumnRow]
) -> TransformationSpec:
    """What the form says; what it has no input for stays as it was. ``columns`` are its rows.

    Raises :class:`InvalidInput` with the field.
    """
    text = {key: str(value or "") for key, value in form.items()}
    content: dict[str, Any] = _mapping(text.get("settings", ""), "settings")
    for name in content:
        if name in _IN_FORM or name not in TransformationSpec.model_fields:
            raise InvalidInput(
                f"{name} is no further setting.", code="setting_unknown", field="settings"
            )
    kept = {column.name: column for column in old.columns}
    described = []
    for row in columns:
        name = text.get(f"column_name_{row.key}", row.name).strip()
        if not name:
            continue
        base = kept.get(row.name) or kept.get(name)
        described.append(
            (base.model_dump(mode="json") if base else {})
            | {
                "name": name,
                "description": text.get(f"column_description_{row.key}", row.description),
                "data_type": text.get(f"column_type_{row.key}", row.data_type).strip() or None,
                "tests": _items(
                    text.get(f"column_tests_{row.key}", row.tests), f"columns.{name}.tests"
                ),
            }
        )
    content |= {
        "name": text.get("name", old.name).strip() or old.name,
        "kind": old.kind,
        "destination_id": old.destination_id,
        "sql": text.get("sql", old.sql) if old.kind in _STARTS else "",
        "materialization": text.get("materialization") or old.materialization,
        "target_schema": text.get("target_schema", "").strip() or None,
        "unique_key": _names(text.get("unique_key", "")),
        "description": text.get("description", ""),
        "tags": _names(text.get("tags", "")),
        "enabled": bool(form.get("enabled")),
        "tests": _items(text.get("tests", ""), "tests"),
        "contract_enforced": bool(form.get("contract_enforced")),
        "columns": described,
    }
    for name in ("incremental_strategy", "on_schema_change"):
        content[name] = text.get(name) or None
    return checked(content)


def checked(content: Mapping[str, Any]) -> TransformationSpec:
    """Raises :class:`InvalidInput` with the first field that does not fit."""
    try:
        return TransformationSpec.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InvalidInput(first["msg"], field=".".join(map(str, first["loc"]))) from None


def _settings(spec: TransformationSpec) -> str:
    """The fields without an input that are not as they are by default, as YAML."""
    said = spec.model_dump(mode="json", exclude_defaults=True, exclude=set(_IN_FORM))
    return str(yaml.safe_dump(said, sort_keys=False, allow_unicode=True)) if said else ""


def _mapping(text: str, field: str) -> dict[str, Any]:
    found = _yaml(text, field)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidInput("A mapping is needed: `key: value`.", code="yaml_invalid", field=field)
    return {str(key): value for key, value in found.items()}


def _items(text: str, field: str) -> list[Any]:
    found = _yaml(f"[{text}]", field)
    return list(found) if isinstance(found, list) else []


def _yaml(text: str, field: str) -> Any:
    if len(text) > 200_000:
        raise InvalidInput("This is too long.", code="yaml_invalid", field=field)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise InvalidInput(f"This is no YAML: {said}", code="yaml_invalid", field=field) from None


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _inline(items: Iterable[Any]) -> str:
    """``not_null, accepted_values: {...}`` on one line."""
    text: str = yaml.safe_dump(
        list(items), default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True
    )
    return text.strip().removeprefix("[").removesuffix("]")


@dataclass(frozen=True)
class NeighbourView:
    name: str
    kind: str
    href: str


def neighbour_view(one: Neighbour) -> NeighbourView:
    if one.id is None:
        return NeighbourView(one.name, one.kind, "")
    where = "catalog" if one.kind == "table" else "transformations"
    return NeighbourView(one.name, one.kind, f"/{where}/{one.id}")


@dataclass(frozen=True)
class RunnerView:
    pipeline_id: int
    step: str
    label: str


@dataclass(frozen=True)
class VersionRow:
    number: int
    at: str | None
    who: str
    is_present: bool


def version_row(row: TransformationVersion, who: str, present: int) -> VersionRow:
    return VersionRow(row.number, iso(row.created_at), who, row.number == present)


def lint_mark(issue: LintIssue) -> dict[str, Any]:
    """For the editor, as :class:`~datanika.compiler.inspection.Diagnostic` has it."""
    return {
        "line": issue.line,
        "column": issue.column,
        "message": f"{issue.message} ({issue.rule} {issue.name})",
        "severity": issue.severity,
    }


@dataclass(frozen=True)
class Grid:
    """Rows of a preview as text; ``None`` is NULL."""

    columns: list[str]
    rows: list[list[str | None]]
    is_truncated: bool = False


def grid_of(result: RowsResult) -> Grid:
    return Grid(
        columns=[column.name for column in result.columns[:MAX_COLUMNS]],
        rows=[
            [None if cell is None else _cell(cell) for cell in row[:MAX_COLUMNS]]
            for row in result.rows
        ],
        is_truncated=result.is_truncated or len(result.columns) > MAX_COLUMNS,
    )


def _cell(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return textwrap.shorten(text, MAX_CELL, placeholder="…") if len(text) > MAX_CELL else text


def completions_of(found: CompletionOut, text: str) -> list[dict[str, str]]:
    """What the editor offers for ``text``: every relation, macro and source there is, and columns
    of what the text reads, or of everything where it reads nothing yet."""
    offered: list[dict[str, str]] = []
    columns: dict[str, str] = {}
    for ref in found.refs:
        offered.append(
            {"label": ref.name, "type": "class", "detail": ref.kind, "call": f"ref('{ref.name}')"}
        )
        if f"'{ref.name}'" in text or f'"{ref.name}"' in text:
            columns |= dict.fromkeys(ref.columns, ref.name)
    for source in found.sources:
        call = f"source('{source.source}', '{source.table}')"
        offered.append(
            {
                "label": f"{source.source}.{source.table}",
                "type": "class",
                "detail": "source",
                "call": call,
            }
        )
        if f"'{source.table}'" in text or f'"{source.table}"' in text:
            columns |= dict.fromkeys(source.columns, source.table)
    for macro in found.macros:
        offered.append(
            {
                "label": macro.name,
                "type": "function",
                "detail": f"({macro.arguments})" if macro.arguments else "macro",
                "call": f"{macro.name}()",
            }
        )
    offered += [
        {"label": name, "type": "property", "detail": owner} for name, owner in columns.items()
    ]
    return offered[:MAX_COMPLETIONS]

"""The dbt project of a transform step, as files: the platform writes every one of them.

A tenant's SQL is copied byte for byte, so that the line numbers in dbt's errors are the tenant's;
everything said about it (materialization, schema, tests) goes into ``schema.yml``. The same input
gives the same bytes. ``profiles.yml`` holds credentials and is written by the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from datanika.compiler.dbt_sources import sources_yml
from datanika.compiler.dbt_yml import properties_yml
from datanika.compiler.packages import PACKAGES, packages_of
from datanika.compiler.project import resolve_references, transformations_of
from datanika.compiler.properties import check_destination
from datanika.contracts.spec import LoadStep, TransformationSpec, TransformStep

GENERATE_SCHEMA_NAME = """\
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if node.resource_type == 'test' and custom_schema_name -%}
    {{ target.schema | trim }}_{{ custom_schema_name | trim }}
    {%- else -%}
    {{ (custom_schema_name or target.schema) | trim }}
    {%- endif -%}
{%- endmacro %}
"""

PREFIXED_SCHEMA_NAME = """\
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if custom_schema_name is none -%}
    {{ target.schema | trim }}
    {%- else -%}
    {{ target.schema | trim }}_{{ custom_schema_name | trim }}
    {%- endif -%}
{%- endmacro %}
"""

OWN_MACROS = "macros/_datanika.sql"
"""A tenant's names start with a letter, so this file cannot collide with a macro of theirs."""

_FOLDERS = {
    "model": "models/{}.sql",
    "test": "tests/{}.sql",
    "macro": "macros/{}.sql",
    "seed": "seeds/{}.csv",
    "snapshot": "snapshots/{}.sql",
}


def build_project(
    project_name: str,
    step: TransformStep,
    destination_kind: str,
    transformations: Iterable[TransformationSpec],
    loads: Sequence[LoadStep],
    *,
    fixed_schema: bool = True,
    scratch: bool = False,
) -> dict[str, str]:
    """Relative path -> content of the dbt project of ``step``'s destination.

    ``project_name`` is also the profile that the engine must provide. ``transformations`` may be
    all of the organisation's, and ``loads`` any load steps: those of other destinations are left
    out. Without ``fixed_schema`` what names no schema goes where the profile says; with
    ``scratch`` everything goes there, or into schemas whose names begin with that one. Raises what
    :func:`~datanika.compiler.plan.compile_plan` raises: nothing unguarded is written.
    """
    own = transformations_of(step.destination_id, transformations)
    for item in own:
        check_destination(item, destination_kind)
    project = next((item.project for item in own if item.project is not None), None)
    prefixed = project is not None and project.schema_names == "prefixed"
    prefixed = scratch or prefixed
    schema = step.default_schema if fixed_schema and not prefixed else None
    references = resolve_references({item.name: item for item in own})
    read = {source for found in references.values() for source in found.sources}
    files = {
        "dbt_project.yml": _yml(_project(project_name, project.vars if project else {})),
        OWN_MACROS: PREFIXED_SCHEMA_NAME if prefixed else GENERATE_SCHEMA_NAME,
        "models/schema.yml": _yml(properties_yml(own, schema, destination_kind)),
        "models/sources.yml": _yml(sources_yml(own, loads, step.destination_id, read)),
    }
    for item in own:
        if item.kind in _FOLDERS:
            files[_FOLDERS[item.kind].format(item.name)] = _content(item)
    for name in packages_of(own):
        for path, content in PACKAGES[name].files.items():
            files[f"dbt_packages/{name}/{path}"] = content
    return dict(sorted(files.items()))


def _project(name: str, variables: Mapping[str, object]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": name,
        "version": "1.0.0",
        "config-version": 2,
        "profile": name,
        "model-paths": ["models"],
        "test-paths": ["tests"],
        "macro-paths": ["macros"],
        "seed-paths": ["seeds"],
        "snapshot-paths": ["snapshots"],
        "analysis-paths": [],
        "asset-paths": [],
        "target-path": "target",
        "packages-install-path": "dbt_packages",
        "flags": {"send_anonymous_usage_stats": False, "use_colors": False},
    }
    if variables:
        content["vars"] = dict(sorted(variables.items()))
    return content


def _content(item: TransformationSpec) -> str:
    if item.kind == "snapshot":
        # On the tenant's first line, to keep their line numbers.
        return f"{{% snapshot {item.name} %}}{item.sql}\n{{% endsnapshot %}}\n"
    return item.sql


def _yml(value: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(
        _plain(value), sort_keys=False, allow_unicode=True, default_flow_style=False, width=1000
    )
    return text


def _plain(value: object) -> object:
    """Plain lists and strings: PyYAML writes tuples and enums as Python objects or refuses them."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value

"""dbt's ``config`` in its three places (folders of dbt_project.yml, properties, the file itself)
as fields of a transformation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datanika.compiler.importing.findings import Findings

Settings = dict[str, Any]
_HOOKS = frozenset({"pre_hook", "post_hook", "pre-hook", "post-hook"})
_WITHOUT_MEANING = frozenset(
    {"persist_docs", "docs", "database", "catalog", "group", "access", "full_refresh", "quoting",
     "transient", "grants", "file_format", "language", "static_analysis", "fast", "store_as",
     "invalidate_hard_deletes", "batch_size", "begin", "lookback", "concurrent_batches"}
)  # fmt: skip
_OF_MAPPINGS = frozenset({"meta", "column_types", "contract", "docs", "persist_docs"})
_TEST = frozenset({"severity", "warn_if", "error_if", "fail_calc", "limit", "store_failures"})


def merge(*layers: Mapping[str, Any]) -> Settings:
    """Later layers win; tags and meta add up, as in dbt."""
    result: Settings = {}
    for layer in layers:
        for raw, value in layer.items():
            key = str(raw)
            if key == "tags":
                result[key] = [*result.get(key, []), *listed(value)]
            elif key == "meta" and isinstance(value, dict):
                result[key] = {**result.get(key, {}), **value}
            else:
                result[key] = value
    return result


def listed(value: Any) -> list[Any]:
    """dbt takes one thing for a list of one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def folder_settings(tree: Any, project: str, folders: tuple[str, ...], name: str) -> list[Settings]:
    """The layers of a resource: of the whole section, of the project, of each folder, its own."""
    layers: list[Settings] = []
    path = [project, *folders, name]
    while isinstance(tree, dict):
        own = {
            str(key).removeprefix("+"): value
            for key, value in tree.items()
            if str(key).startswith("+")
            or ((not isinstance(value, dict) or key in _OF_MAPPINGS) and str(key) not in path)
        }
        layers.append(own)
        if not path:
            break
        tree = tree.get(path.pop(0))
    return layers


def fields_of(kind: str, settings: Settings, path: str, name: str, found: Findings) -> Settings:
    """Fields of the TransformationSpec; what has no field is said in ``found``."""
    left = {key: value for key, value in settings.items() if value is not None}
    fields: Settings = {}

    def take(key: str) -> Any:
        return left.pop(key, None)

    for key in ("alias", "meta", "event_time"):
        if key in left:
            fields[key] = take(key)
    if "enabled" in left:
        fields["enabled"] = take("enabled")
    if tags := listed(take("tags")):
        fields["tags"] = list(dict.fromkeys(str(tag) for tag in tags))
    schema, exact = take("schema"), take("target_schema")
    if exact or schema:
        fields["target_schema"] = exact or schema
    if kind in ("model", "snapshot") and "unique_key" in left:
        fields["unique_key"] = listed(take("unique_key"))
    if kind == "model":
        _model(left, fields, take, path, name, found)
    elif kind == "snapshot":
        _snapshot(left, fields, take)
    elif kind == "seed":
        seed = {key: take(key) for key in ("delimiter", "quote_columns") if key in left}
        if "column_types" in left:
            seed["column_types"] = take("column_types")
        if seed:
            fields["seed"] = seed
    elif kind == "test":
        fields.pop("target_schema", None)
        if test := {key: take(key) for key in _TEST if key in left}:
            if isinstance(test.get("severity"), str):
                test["severity"] = test["severity"].lower()
            fields["test"] = test
    for key in left:
        if key in _HOOKS:
            found.refused("hook_refused", path, f"{key} of {name} is refused.", name=name)
        elif key in _WITHOUT_MEANING:
            found.changed(
                "setting_ignored", path, f"{key} of {name} has no meaning here.", name=name
            )
        else:
            found.refused("setting_unknown", path, f"{key} of {name} is not known here.", name=name)
    return fields


def _model(
    left: Settings, fields: Settings, take: Any, path: str, name: str, found: Findings
) -> None:
    if "materialized" in left:
        fields["materialization"] = take("materialized")
    incremental = fields.get("materialization") == "incremental"
    contract = take("contract")
    if isinstance(contract, dict) and contract.get("enforced") is True:
        fields["contract_enforced"] = True
    microbatch = {key: take(key) for key in ("begin", "batch_size", "lookback") if key in left}
    names = {
        "incremental_strategy": False, "on_schema_change": False, "merge_update_columns": True,
        "merge_exclude_columns": True, "incremental_predicates": True,
    }  # fmt: skip
    given = {
        key: listed(take(key)) if is_list else take(key)
        for key, is_list in names.items()
        if key in left
    }
    if incremental:
        fields |= given
        # What dbt does where nothing is said.
        fields.setdefault("on_schema_change", "ignore")
        if fields.get("incremental_strategy") == "microbatch":
            if isinstance(microbatch.get("begin"), str):
                microbatch["begin"] = microbatch["begin"][:10]
            fields["microbatch"] = microbatch
    elif given or microbatch:
        found.changed(
            "setting_ignored",
            path,
            f"{name} is not incremental: how it is, is left out.",
            name=name,
        )
    if not incremental and "unique_key" in fields:
        fields.pop("unique_key")
    for key in ("indexes", "unlogged"):
        if key in left:
            take(key)
            found.changed("setting_ignored", path, f"{key} of {name} is left out.", name=name)


def _snapshot(left: Settings, fields: Settings, take: Any) -> None:
    snapshot: Settings = {}
    if "strategy" in left:
        snapshot["strategy"] = take("strategy")
    if "updated_at" in left:
        snapshot["updated_at"] = take("updated_at")
    columns = listed(take("check_cols"))
    if columns and columns != ["all"]:
        snapshot["check_cols"] = columns
    if "hard_deletes" in left:
        snapshot["hard_deletes"] = take("hard_deletes")
    elif take("invalidate_hard_deletes") is True:
        snapshot["hard_deletes"] = "invalidate"
    if "dbt_valid_to_current" in left:
        snapshot["valid_to_current"] = take("dbt_valid_to_current")
    if snapshot:
        fields["snapshot"] = snapshot

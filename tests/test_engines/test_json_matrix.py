"""Every JSON value that a loader is known to spoil, from an API: equal, or put aside with its
reason. Never silently different."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datanika.contracts.ad_hoc import PreviewAction
from datanika.contracts.shape import OnBadRow
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from tests.support.canary import canary_server
from tests.test_engines.steps import LOCAL, REPLACE, load, run, table
from tests.test_engines.targets import Target

# dlt drops the response of a finished request without closing it.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

DEEP = '{"a": {"b": [1, {"c": null}]}}'
# value as JSON has it -> what the destination has, or the code of why not
KEPT: dict[str, Any] = {
    "0": 0,
    "-9223372036854775808": -(2**63),
    "9223372036854775807": 2**63 - 1,
    "0.1": 0.1,
    "-0.0": 0.0,
    "1e22": 1e22,
    "0.30000000000000004": 0.1 + 0.2,
    "1.7976931348623157e308": 1.7976931348623157e308,
    "true": True,
    '""': "",
    '"  "': "  ",
    '"null"': "null",
    '"NaN"': "NaN",
    '"007"': "007",
    '"a\\r\\n\\nb\\t\\\\."': "a\r\n\nb\t\\.",
    '"\\u00e4\\ud83d\\ude00\\uffff"': "ä😀\uffff",
    '"\\"\'\\\\N,;"': "\"'\\N,;",
    '"2024-02-30"': "2024-02-30",
}
REFUSED = {
    "9223372036854775808": "integer_too_large",
    "1180591620717411303424": "integer_too_large",
    "1e400": "number_too_large",
    "12345678901234567.89": "number_inexact",
    "0.1000000000000000055": "number_inexact",
    "1e-400": "number_inexact",
    '"a\\u0000b"': "nul_in_text",
    '"\\ud800"': "lone_surrogate",
    '{"deep": [12345678901234567.89]}': "number_inexact",
}


def api_of(url: str) -> ResolvedConnection:
    return ResolvedConnection(
        id=9,
        name="api",
        kind="rest_api",
        config={"base_url": url, "endpoints": [{"name": "items", "path": "items"}]},
        egress=LOCAL,
    )


def body(values: list[str]) -> bytes:
    rows = [f'{{"id": {i}, "v": {value}}}' for i, value in enumerate(values)]
    return ("[" + ", ".join(rows) + "]").encode()


@pytest.mark.parametrize("value", KEPT)
def test_a_value_of_an_api_stays_what_it_is(target: Target, value: str) -> None:
    with canary_server(lambda path: (200, {}, body([value, "null", value]))) as server:
        out = run(load(api_of(server.url), target.connection, table("items", "t", REPLACE)))
    assert out.code is None
    rows = target.query("SELECT id, v FROM raw.t ORDER BY id")
    assert rows == [(0, KEPT[value]), (1, None), (2, KEPT[value])]
    assert type(rows[0][1]) is type(KEPT[value])


def test_an_object_of_an_api_stays_json(target: Target) -> None:
    rows = [f'{{"id": {i}, "v": {value}}}' for i, value in enumerate([DEEP, "null"])]
    content = f"[{', '.join(rows)}]".encode()
    with canary_server(lambda path: (200, {}, content)) as server:
        out = run(load(api_of(server.url), target.connection, table("items", "t", REPLACE)))
    assert out.code is None
    [(found,)] = target.query("SELECT CAST(v AS VARCHAR) FROM raw.t WHERE id = 0")
    assert json.loads(found) == json.loads(DEEP)


@pytest.mark.parametrize("value", REFUSED)
def test_a_value_that_cannot_be_kept_is_put_aside(target: Target, value: str) -> None:
    spec = table("items", "t", REPLACE)
    with canary_server(lambda path: (200, {}, body(["1", value, "2"]))) as server:
        out = run(load(api_of(server.url), target.connection, spec))
        assert out.code == REFUSED[value]
        spec = spec.model_copy(update={"on_bad_row": OnBadRow.QUARANTINE})
        out = run(load(api_of(server.url), target.connection, spec))
    assert (out.code, out.nodes["t"].details["quarantined_rows"]) == (None, 1)
    assert target.query("SELECT id, v FROM raw.t ORDER BY id") == [(0, 1), (2, 2)]
    [(reason,)] = target.query("SELECT code FROM raw_quarantine.t")
    assert reason == REFUSED[value]


def test_a_preview_shows_what_a_load_would_not_keep(tmp_path: Path) -> None:
    with canary_server(lambda path: (200, {}, body(list(REFUSED)))) as server:
        shown: Any = perform(
            PreviewAction(connection=api_of(server.url), table="items", limit=50), tmp_path
        )
    assert "12345678901234567.89" in shown.model_dump_json()

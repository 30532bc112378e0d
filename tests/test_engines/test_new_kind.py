"""A kind of connection is one file and one line: this file, and the line in ``registered``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from datanika.contracts.ad_hoc import IntrospectAction, PreviewAction, ProbeAction, TableInfo
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from datanika.engines.connectors import registry
from datanika.engines.connectors.base import Connector, ConnectorConfig, Reading, secret
from datanika.engines.connectors.export import render
from datanika.errors import TerminalStepError
from tests.test_engines.steps import REPLACE, load, run, table
from tests.test_engines.targets import Target


class NumbersConfig(ConnectorConfig):
    count: int = Field(title="How many", ge=0)
    password: str = secret("Password")


class NumbersConnector(Connector[NumbersConfig]):
    kind = "numbers"
    title = "Numbers"
    description = "Counts."
    config = NumbersConfig
    is_source = True

    def test(self, connection: ResolvedConnection) -> None:
        if self.parse(connection).password != "right":
            raise TerminalStepError("No.", code="authentication_failed")

    def introspect(self, action: IntrospectAction, folder: Path) -> Any:
        from datanika.engines.ad_hoc.pages import page_of_names

        return page_of_names(
            action, ["n"], lambda name: TableInfo(schema_name=None, name=name, kind="table")
        )

    def preview(self, action: PreviewAction, folder: Path) -> Any:
        from datanika.engines.ad_hoc.cells import RowCollector

        rows = RowCollector(action.limit)
        rows.add([n] for n in range(self.parse(action.connection).count))
        return rows.result([("n", "int")])

    def open_table(self, reading: Reading) -> Any:
        import pyarrow as pa

        from datanika.engines.dlt_engine.sources.base import SourceTable

        whole = pa.table({"n": pa.array(range(self.parse(reading.connection).count), pa.int64())})
        return SourceTable(schema=whole.schema, read=lambda start, end=None: iter([whole]))


class WordsConnector(NumbersConnector):
    kind = "words"
    gives_rows = True

    def open_resource(self, reading: Reading, start: Any = None) -> Any:
        import dlt

        @contextmanager
        def opened() -> Iterator[Any]:
            yield dlt.resource([{"n": n} for n in range(3)], name=str(reading.table.target))

        return opened()


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (NumbersConnector(), WordsConnector()):
        monkeypatch.setitem(registry.CONNECTORS, kind.kind, kind)


def numbers(kind: str = "numbers", **config: Any) -> ResolvedConnection:
    config = {"count": 5, "password": "right"} | config
    return ResolvedConnection(id=30, name="n", kind=kind, config=config)


@pytest.mark.parametrize(("kind", "rows"), [("numbers", 5), ("words", 3)])
def test_it_loads(target: Target, kind: str, rows: int) -> None:
    out = run(load(numbers(kind), target.connection, table("n", "n", REPLACE)))
    assert (out.code, out.finished.rows, target.count("raw.n")) == (None, rows, rows)


def test_it_is_tested_looked_into_and_previewed(tmp_path: Path) -> None:
    assert perform(ProbeAction(connection=numbers()), tmp_path).type == "test"
    with pytest.raises(TerminalStepError):
        perform(ProbeAction(connection=numbers(password="wrong")), tmp_path)
    found: Any = perform(IntrospectAction(connection=numbers()), tmp_path)
    assert [one.name for one in found.tables] == ["n"]
    shown: Any = perform(PreviewAction(connection=numbers(), table="n", limit=2), tmp_path)
    assert (shown.rows, shown.is_truncated) == (((0,), (1,)), True)


def test_the_control_plane_learns_of_it() -> None:
    assert '"kind": "numbers"' in render()
    assert '"writeOnly": true' in render()


@pytest.mark.parametrize("role", ["source", "destination"])
def test_what_it_cannot_be_is_refused(target: Target, role: str) -> None:
    spec = table("n", "n")
    step = (
        load(target.connection, numbers(), spec)
        if role == "destination"
        else load(numbers(count=-1), target.connection, spec)
    )
    expected = "connection_kind_unfit" if role == "destination" else "connection_config_invalid"
    assert run(step).code == expected

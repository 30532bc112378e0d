"""Kafka's messages, from librdkafka's own broker for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Producer

from datanika.contracts.ad_hoc import IntrospectAction, PreviewAction, ProbeAction
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from datanika.engines.failures import failure_of
from tests.test_engines.steps import LOCAL, MERGE, duckdb, load, run, table
from tests.test_engines.targets import Target, ask_duckdb

# kafka-python reads its compatibility tables in an old way when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")

DAY = 86_400_000
START = 1_704_067_200_000
"""2024-01-01, in Kafka's milliseconds."""


class Broker:
    def __init__(self) -> None:
        self.producer = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1})
        (broker,) = self.producer.list_topics(timeout=10).brokers.values()
        self.host, self.port = broker.host, broker.port
        self.times: dict[tuple[str, int], list[int]] = {}

    def send(self, topic: str, *values: bytes | None, day: int = 0) -> None:
        for number, value in enumerate(values):
            self.times.setdefault((topic, number % 2), []).append(START + day * DAY)
            self.producer.produce(
                topic, value, key=f"k{number}", partition=number % 2, timestamp=START + day * DAY,
                headers=[("h", b"\x00")],
            )  # fmt: skip
        assert self.producer.flush(20) == 0

    def connection(self, **changes: Any) -> ResolvedConnection:
        return ResolvedConnection(
            id=22, name="bus", kind="kafka",
            config={"host": self.host, "port": self.port} | changes,
            secret_fields=("password",), egress=LOCAL,
        )  # fmt: skip


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    yield Broker()


def test_every_message_up_to_now_arrives_once(target: Target, broker: Broker) -> None:
    topic = f"orders-{target.connection.kind}"
    broker.send(topic, *(json.dumps({"n": n}).encode() for n in range(3000)))
    spec = table(topic, "orders", MERGE, ("partition", "offset"))
    for _ in range(2):
        out = run(load(broker.connection(), target.connection, spec))
        assert (out.code, out.finished.rows) == (None, 3000)
    rows = target.query('SELECT count(*), count(DISTINCT "offset"), max(key) FROM raw.orders')
    assert rows == [(3000, 1500, "k999")]


def test_a_cursor_starts_at_its_moment(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kafka import KafkaConsumer

    def offsets_for_times(self: Any, wanted: dict[Any, int]) -> dict[Any, Any]:
        """As Kafka answers; librdkafka's broker knows no times."""
        result: dict[Any, Any] = {}
        for part, since in wanted.items():
            times = enumerate(broker.times.get((part.topic, part.partition), []))
            offset = next((n for n, at in times if at >= since), None)
            result[part] = None if offset is None else SimpleNamespace(offset=offset)
        return result

    monkeypatch.setattr(KafkaConsumer, "offsets_for_times", offsets_for_times)
    broker.send("log", b"1", b"2", b"null", day=1)
    spec = table("log", "log", MERGE, ("partition", "offset"), cursor="timestamp")
    step = load(broker.connection(), duckdb(tmp_path), spec)
    assert run(step).finished.rows == 3
    broker.send("log", b"4", b"5", day=2)
    # The last moment's messages again, and the new ones.
    assert run(step).finished.rows == 5
    broker.send("log", b"6", day=3)
    assert run(step).finished.rows == 3
    ask = ask_duckdb(tmp_path)
    assert ask("SELECT count(*), max(timestamp)::date::text FROM raw.log") == [(6, "2024-01-04")]


def test_other_messages_than_json_are_an_error_or_text(broker: Broker, tmp_path: Path) -> None:
    broker.send("plain", b"no json", "zażółć".encode(), None)
    broker.send("bytes", b"\xff\x00")
    to = duckdb(tmp_path)
    bad = run(load(broker.connection(), to, table("plain", "plain")))
    assert bad.code == "value_invalid"
    text = broker.connection(value_format="text")
    assert run(load(text, to, table("plain", "plain"))).code is None
    assert run(load(text, to, table("bytes", "bytes"))).code == "value_invalid"
    coded = broker.connection(value_format="base64")
    assert run(load(coded, to, table("bytes", "bytes"))).code is None
    ask = ask_duckdb(tmp_path)
    assert ask("SELECT value FROM raw.bytes") == [("/wA=",)]
    assert ask("SELECT value FROM raw.plain ORDER BY key") == [("no json",), ("zażółć",), (None,)]


def test_what_there_is_can_be_seen(broker: Broker, tmp_path: Path) -> None:
    broker.send("seen", b'{"a": 1}', b"2")
    source = broker.connection()
    assert perform(ProbeAction(connection=source), tmp_path).type == "test"
    found: Any = perform(IntrospectAction(connection=source, search="seen"), tmp_path)
    assert [(one.name, one.primary_key) for one in found.tables] == [
        ("seen", ("partition", "offset"))
    ]
    shown: Any = perform(
        PreviewAction(connection=source, table="seen", columns=("value",), limit=5), tmp_path
    )
    assert sorted(shown.rows, key=str) == [('{"a": 1}',), (2,)]


@pytest.mark.parametrize(
    ("changes", "code"), [({"port": 1}, "host_unreachable"), ({}, "egress_refused")]
)
def test_what_does_not_work_says_why(
    broker: Broker, tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    source = broker.connection(**changes)
    if code == "egress_refused":
        source = source.model_copy(update={"egress": type(LOCAL)()})
    with pytest.raises(Exception) as caught:
        perform(ProbeAction(connection=source), tmp_path)
    assert failure_of(caught.value).code == code

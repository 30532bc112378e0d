"""Kafka through kafka-python: a topic's messages up to now, with their partition and offset."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import Connector, ConnectorConfig, Reading, secret
from datanika.engines.connectors.hosts import HOST, judged_names
from datanika.engines.connectors.rest_parts import moment
from datanika.errors import StepError, TerminalStepError, TransientStepError

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import (
        IntrospectAction,
        IntrospectionResult,
        PreviewAction,
        RowsResult,
        TableInfo,
    )

_BATCH = 1000
_POLL_MILLISECONDS = 1000
_IDLE_SECONDS = 60
COLUMNS = {
    "partition": "bigint", "offset": "bigint", "timestamp": "timestamp", "key": "text",
    "value": "json", "headers": "json",
}  # fmt: skip


class KafkaConfig(ConnectorConfig):
    host: str = Field(title="Bootstrap host", pattern=HOST)
    port: int = Field(default=9092, title="Port", ge=1, le=65535)
    tls: bool = Field(default=False, title="TLS")
    mechanism: Literal["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="none", title="Login"
    )
    user: str | None = Field(default=None, title="User")
    password: str | None = secret("Password", default=None)
    value_format: Literal["json", "text", "base64"] = Field(
        default="json",
        title="Messages are",
        description="JSON that is none fails the load; base64 takes any bytes.",
    )


class KafkaConnector(Connector[KafkaConfig]):
    kind = "kafka"
    title = "Kafka"
    description = "Messages of Kafka topics, up to the moment of the run."
    config = KafkaConfig
    is_source = True
    gives_rows = True
    verified_live = False
    docs = (
        "A table is a topic; a row a message with `partition`, `offset`, `timestamp`, `key`, "
        "`value` and `headers`; key: `partition` and `offset`. A run reads to where the topic "
        "ended when it began. The cursor `timestamp` starts every partition at the right offset; "
        "as producers set it, use merge and a lag. No consumer group is joined and nothing is "
        "committed to Kafka."
    )

    @contextmanager
    def _consumer(self, connection: ResolvedConnection) -> Iterator[Any]:
        from kafka import KafkaConsumer
        from kafka.errors import KafkaError

        config = self.parse(connection)
        login: dict[str, Any] = {}
        if config.mechanism != "none":
            login = {
                "sasl_mechanism": config.mechanism, "sasl_plain_username": config.user or "",
                "sasl_plain_password": config.password or "",
            }  # fmt: skip
        protocol = ("SASL_" if login else "") + ("SSL" if config.tls else "PLAINTEXT")
        with judged_names(connection.egress):
            try:
                # The name is judged before the driver's own loop, which would try it for ever.
                _check(config, connection)
                consumer = KafkaConsumer(
                    bootstrap_servers=[f"{config.host}:{config.port}"],
                    security_protocol=protocol,
                    client_id="datanika",
                    group_id=None,
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    request_timeout_ms=30_000,
                    **login,
                )
                try:
                    yield consumer
                finally:
                    consumer.close()
            except StepError:
                raise
            except KafkaError as error:
                raise _explained(error) from error

    def test(self, connection: ResolvedConnection) -> None:
        with self._consumer(connection) as consumer:
            consumer.topics()

    def introspect(self, action: IntrospectAction, folder: Path) -> IntrospectionResult:
        from datanika.contracts.ad_hoc import TableInfo
        from datanika.contracts.events import ColumnInfo
        from datanika.engines.ad_hoc.pages import page_of_names

        with self._consumer(action.connection) as consumer:
            names = sorted(name for name in consumer.topics() if not name.startswith("__"))
        columns = tuple(ColumnInfo(name=name, data_type=kind) for name, kind in COLUMNS.items())

        def describe(name: str) -> TableInfo:
            return TableInfo(
                schema_name=None, name=name, kind="table", columns=columns,
                primary_key=("partition", "offset"),
            )  # fmt: skip

        return page_of_names(action, names, describe)

    def preview(self, action: PreviewAction, folder: Path) -> RowsResult:
        from datanika.engines.ad_hoc.cells import RowCollector

        config = self.parse(action.connection)
        rows = RowCollector(action.limit)
        names = action.columns or tuple(COLUMNS)
        with self._consumer(action.connection) as consumer:
            found = (
                one for batch in _messages(consumer, config, action.table, None) for one in batch
            )
            rows.add([item.get(name) for name in names] for item in islice(found, action.limit + 1))
        return rows.result((name, COLUMNS.get(name, "json")) for name in names)

    def open_resource(self, reading: Reading, start: Any = None) -> AbstractContextManager[Any]:
        return self._resource(reading, start)

    @contextmanager
    def _resource(self, reading: Reading, start: Any) -> Iterator[Any]:
        import dlt

        config = self.parse(reading.connection)
        by = reading.table.cursor.column if reading.table.cursor else None
        if by not in (None, "timestamp"):
            raise TerminalStepError(
                f"A topic has no cursor {by!r}.",
                code="cursor_missing",
                hint="Use timestamp.",
            )
        with self._consumer(reading.connection) as consumer:
            yield dlt.resource(
                lambda: _messages(consumer, config, reading.table.name, start),
                name=str(reading.table.target),
                columns={
                    "value": {"data_type": "json" if config.value_format == "json" else "text"}
                },
            )


KAFKA = KafkaConnector()


def _check(config: KafkaConfig, connection: ResolvedConnection) -> None:
    from datanika.egress.guard import EgressGuard
    from datanika.engines.connectors.hosts import dial

    dial(EgressGuard(connection.egress), config.host, config.port, 15).close()


def _messages(
    consumer: Any, config: KafkaConfig, topic: str, start: Any
) -> Iterator[list[dict[str, Any]]]:
    """Batches of rows, until every partition has been read to where it ended at first."""
    import time

    from kafka import TopicPartition

    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise TerminalStepError(
            f"There is no topic {topic!r}.",
            code="table_missing",
            hint="Check its name, and that the user may see it.",
        )
    parts = [TopicPartition(topic, number) for number in sorted(numbers)]
    ends, begins = consumer.end_offsets(parts), consumer.beginning_offsets(parts)
    if start is not None:
        since = int(moment(start).timestamp() * 1000)
        for part, found in consumer.offsets_for_times(dict.fromkeys(parts, since)).items():
            begins[part] = ends[part] if found is None else found.offset
    left = {part for part in parts if begins[part] < ends[part]}
    # Those without anything to read have no position, and would be an error.
    consumer.assign(sorted(left))
    for part in left:
        consumer.seek(part, begins[part])
    heard = time.monotonic()
    while left:
        polled = consumer.poll(timeout_ms=_POLL_MILLISECONDS, max_records=_BATCH)
        batch = []
        for part, records in polled.items():
            batch += [_row(one, config) for one in records if one.offset < ends[part]]
        for part in list(left):
            # A log may end in markers that are no messages.
            if consumer.position(part) >= ends[part]:
                left.discard(part)
                consumer.pause(part)
        if batch:
            heard = time.monotonic()
            yield batch
        elif time.monotonic() - heard > _IDLE_SECONDS:
            raise TransientStepError(
                f"The brokers sent nothing of {topic!r} for {_IDLE_SECONDS} seconds.",
                code="connection_lost",
                hint="Run it again.",
            )


def _row(record: Any, config: KafkaConfig) -> dict[str, Any]:
    where = f"Message {record.offset} of partition {record.partition}"
    at = dt.datetime.fromtimestamp(record.timestamp / 1000, dt.UTC)
    return {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": at.isoformat(timespec="milliseconds"),
        "key": None if record.key is None else _decoded(record.key, "text", f"{where}: its key"),
        "value": None
        if record.value is None
        else _decoded(record.value, config.value_format, where),
        "headers": [
            [name, None if value is None else base64.b64encode(value).decode()]
            for name, value in record.headers
        ],
    }


def _decoded(value: bytes, how: str, where: str) -> Any:
    try:
        if how == "json":
            return json.loads(value)
        return base64.b64encode(value).decode() if how == "base64" else value.decode()
    except ValueError:
        raise TerminalStepError(
            f"{where} is no {'JSON' if how == 'json' else 'UTF-8 text'}.",
            code="value_invalid",
            hint="Set the connection's messages to text or base64.",
        ) from None


def _explained(error: Any) -> StepError:
    from datanika.engines.failures import step_error

    name = type(error).__name__
    if "Authentication" in name or "Sasl" in name:
        return step_error("authentication_failed", error)
    if "Authorization" in name:
        return step_error("permission_denied", error)
    if name in ("NoBrokersAvailable", "KafkaConnectionError", "KafkaTimeoutError"):
        return step_error("host_unreachable", error)
    return step_error(
        "connection_lost" if getattr(error, "retriable", False) else "sql_invalid", error
    )

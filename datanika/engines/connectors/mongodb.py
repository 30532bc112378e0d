"""MongoDB through PyMongo: collections are tables, documents rows, what is nested is JSON."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.base import Connector, ConnectorConfig, Reading, secret
from datanika.engines.connectors.hosts import HOST, NAME, judged_names
from datanika.errors import StepError, TerminalStepError

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import (
        IntrospectAction,
        IntrospectionResult,
        PreviewAction,
        RowsResult,
        TableInfo,
    )

WAIT_MILLISECONDS = 15_000
_SAMPLE = 100
_BATCH = 1000
# https://www.mongodb.com/docs/manual/reference/error-codes
_CAUSES = {18: "authentication_failed", 13: "permission_denied", 50: "query_timeout"}


class MongodbConfig(ConnectorConfig):
    host: str = Field(title="Host", pattern=HOST, examples=["cluster0.abc.mongodb.net"])
    port: int = Field(default=27017, title="Port", ge=1, le=65535)
    srv: bool = Field(
        default=False, title="Cluster name", description="The host is one of mongodb+srv://."
    )
    database: str = Field(title="Database", pattern=NAME)
    user: str | None = Field(default=None, title="User", pattern=NAME)
    password: str | None = secret("Password", default=None)
    auth_source: str = Field(default="admin", title="Database of the user", pattern=NAME)
    replica_set: str | None = Field(default=None, title="Replica set", pattern=NAME)
    tls: bool = Field(default=True, title="TLS")


def open_client(config: MongodbConfig) -> Any:
    """PyMongo's client; it connects when it is first used."""
    from pymongo import MongoClient

    login: dict[str, Any] = {}
    if config.user:
        login = {
            "username": config.user, "password": config.password or "",
            "authSource": config.auth_source,
        }  # fmt: skip
    if config.replica_set:
        login["replicaSet"] = config.replica_set
    host = f"mongodb+srv://{config.host}" if config.srv else config.host
    return MongoClient(
        host,
        None if config.srv else config.port,
        directConnection=not (config.srv or config.replica_set),
        tls=config.tls,
        serverSelectionTimeoutMS=WAIT_MILLISECONDS,
        connectTimeoutMS=WAIT_MILLISECONDS,
        tz_aware=True,
        appname="datanika",
        **login,
    )


class MongodbConnector(Connector[MongodbConfig]):
    """``client`` makes the client: tests bring their own."""

    kind = "mongodb"
    title = "MongoDB"
    description = "Collections of a MongoDB database."
    config = MongodbConfig
    is_source = True
    gives_rows = True
    verified_live = False
    docs = (
        "A table is a collection. Top-level fields are columns; documents and arrays inside become "
        "JSON. `ObjectId`s and UUIDs become text, `Decimal128` a decimal, dates moments in UTC, "
        "binary bytes; NaN and infinity become text. The cursor may be `_id` or any field of one "
        "type, best an indexed one."
    )

    def __init__(self, client: Callable[[MongodbConfig], Any] = open_client) -> None:
        self._client = client

    @contextmanager
    def _database(self, connection: ResolvedConnection) -> Iterator[Any]:
        from pymongo.errors import PyMongoError

        from datanika.engines.failures import step_error

        config = self.parse(connection)
        if not config.srv:
            # The driver tries again what is refused to it, until its time is up.
            EgressGuard(connection.egress).check(config.host, config.port)
        with judged_names(connection.egress):
            client = self._client(config)
            try:
                yield client[config.database]
            except StepError:
                raise
            except PyMongoError as error:
                raise step_error(_cause(error), error) from error
            finally:
                client.close()

    def test(self, connection: ResolvedConnection) -> None:
        with self._database(connection) as database:
            database.list_collection_names()

    def introspect(self, action: IntrospectAction, folder: Path) -> IntrospectionResult:
        from datanika.contracts.ad_hoc import TableInfo
        from datanika.contracts.events import ColumnInfo
        from datanika.engines.ad_hoc.pages import page_of_names

        with self._database(action.connection) as database:
            names = sorted(
                name for name in database.list_collection_names() if not name.startswith("system.")
            )

            def describe(name: str) -> TableInfo:
                kinds: dict[str, set[str]] = {}
                for document in database[name].find().limit(_SAMPLE):
                    for field, value in document.items():
                        kinds.setdefault(field, set()).add(type(value).__name__)
                return TableInfo(
                    schema_name=None,
                    name=name,
                    kind="table",
                    columns=tuple(
                        ColumnInfo(name=field, data_type=" or ".join(sorted(found)))
                        for field, found in kinds.items()
                    ),
                    primary_key=("_id",),
                    row_estimate=database[name].estimated_document_count(),
                )

            return page_of_names(action, names, describe)

    def preview(self, action: PreviewAction, folder: Path) -> RowsResult:
        from datanika.engines.ad_hoc.cells import RowCollector

        with self._database(action.connection) as database:
            wanted = dict.fromkeys(action.columns, True) or None
            found = database[self._known(database, action.table)].find({}, wanted)
            items = [row_of(one) for one in found.limit(action.limit + 1)]
        names = action.columns or tuple(dict.fromkeys(name for item in items for name in item))
        rows = RowCollector(action.limit)
        rows.add([item.get(name) for name in names] for item in items)
        return rows.result((name, "bson") for name in names)

    def open_resource(self, reading: Reading, start: Any = None) -> AbstractContextManager[Any]:
        return self._resource(reading, start)

    @contextmanager
    def _resource(self, reading: Reading, start: Any) -> Iterator[Any]:
        import dlt

        table = reading.table
        with self._database(reading.connection) as database:
            collection = database[self._known(database, table.name)]
            query: dict[str, Any] = {}
            if table.cursor is not None and start is not None:
                column = table.cursor.column
                sample = collection.find_one({column: {"$ne": None}}, {column: True}) or {}
                query = {
                    "$or": [{column: {"$gte": _like(sample.get(column), start)}}, {column: None}]
                }
            wanted = None
            if table.columns:
                by = [table.cursor.column] if table.cursor else []
                wanted = dict.fromkeys([*table.columns, *by], True)
                wanted.setdefault("_id", "_id" in table.columns)

            def documents() -> Iterator[Any]:
                batch: list[dict[str, Any]] = []
                for document in collection.find(query, wanted, batch_size=_BATCH):
                    batch.append(row_of(document))
                    if len(batch) == _BATCH:
                        yield batch
                        batch = []
                yield batch

            yield dlt.resource(documents, name=str(table.target))

    def _known(self, database: Any, name: str) -> str:
        if name not in database.list_collection_names():
            raise TerminalStepError(
                f"The database has no collection {name!r}.",
                code="table_missing",
                hint="Check its name, and that the user may see it.",
            )
        return name


MONGODB = MongodbConnector()


def row_of(document: dict[str, Any]) -> dict[str, Any]:
    """A document as a row: values of its own types at the top, JSON's below."""
    return {field: _value(value, nested=False) for field, value in document.items()}


def _value(value: Any, *, nested: bool) -> Any:
    from bson import Decimal128, Int64, ObjectId

    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, Int64 | int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Decimal128):
        number = value.to_decimal()
        return number if _fits(number) and not nested else str(number)
    if isinstance(value, dt.datetime):
        # One spelling: cursors are compared as text.
        utc = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return utc.astimezone(dt.UTC).isoformat(timespec="milliseconds")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode() if nested else bytes(value)
    if isinstance(value, dict):
        return {str(key): _value(one, nested=True) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_value(one, nested=True) for one in value]
    return str(value)


def _fits(number: Decimal) -> bool:
    """Whether a destination's decimal of 38 digits holds it."""
    exponent = number.as_tuple().exponent
    return (
        isinstance(exponent, int)
        and exponent >= -38
        and max(number.adjusted(), 0) - min(exponent, 0) < 38
    )


def _like(sample: Any, start: Any) -> Any:
    """``start`` as a value of the field's own type: MongoDB compares within one type only."""
    from bson import ObjectId

    if isinstance(sample, ObjectId):
        return ObjectId(str(start))
    if isinstance(sample, dt.datetime):
        return dt.datetime.fromisoformat(str(start))
    return start


def _cause(error: Any) -> str:
    from pymongo.errors import ConfigurationError, ConnectionFailure

    code = getattr(error, "code", None)
    if code in _CAUSES:
        return _CAUSES[code]
    if isinstance(error, ConnectionFailure):
        text = str(error).lower()
        return "tls_failed" if "ssl" in text and "certificate" in text else "host_unreachable"
    return "host_unreachable" if isinstance(error, ConfigurationError) else "sql_invalid"

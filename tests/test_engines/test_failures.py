"""What may pass by itself is transient and tried again; everything else fails at once."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from typing import Any

import psycopg2
import pytest
import requests
from dlt.destinations.exceptions import (
    DatabaseTerminalException,
    DatabaseTransientException,
    DestinationConnectionError,
)
from psycopg2 import errorcodes, errors

from datanika.engines.failures import explain_text, failure_of
from datanika.errors import TerminalStepError, TransientStepError

TRANSIENT, TERMINAL = True, False


def pg(state: str) -> psycopg2.Error:
    """An error as the server sends it: psycopg2 has a class for each SQLSTATE."""

    class Sent(errors.lookup(state)):  # type: ignore[misc]
        pgcode = state

    return Sent("as the server says it")


def answered(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status}", response=response)


def wrapped(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


POSTGRES = [
    (errorcodes.INVALID_PASSWORD, "authentication_failed", TERMINAL),
    (errorcodes.INVALID_CATALOG_NAME, "database_missing", TERMINAL),
    (errorcodes.INSUFFICIENT_PRIVILEGE, "permission_denied", TERMINAL),
    (errorcodes.UNDEFINED_TABLE, "table_missing", TERMINAL),
    (errorcodes.UNDEFINED_COLUMN, "column_missing", TERMINAL),
    (errorcodes.SYNTAX_ERROR, "sql_invalid", TERMINAL),
    (errorcodes.CARDINALITY_VIOLATION, "sql_invalid", TERMINAL),
    (errorcodes.FEATURE_NOT_SUPPORTED, "sql_invalid", TERMINAL),
    (errorcodes.STATEMENT_TOO_COMPLEX, "sql_invalid", TERMINAL),
    (errorcodes.RAISE_EXCEPTION, "sql_invalid", TERMINAL),
    (errorcodes.DIVISION_BY_ZERO, "value_invalid", TERMINAL),
    (errorcodes.NUMERIC_VALUE_OUT_OF_RANGE, "value_invalid", TERMINAL),
    (errorcodes.NOT_NULL_VIOLATION, "constraint_violated", TERMINAL),
    (errorcodes.UNIQUE_VIOLATION, "constraint_violated", TERMINAL),
    (errorcodes.WITH_CHECK_OPTION_VIOLATION, "constraint_violated", TERMINAL),
    (errorcodes.DISK_FULL, "disk_full", TERMINAL),
    (errorcodes.QUERY_CANCELED, "statement_timeout", TERMINAL),
    (errorcodes.OUT_OF_MEMORY, "server_busy", TRANSIENT),
    (errorcodes.TOO_MANY_CONNECTIONS, "server_busy", TRANSIENT),
    (errorcodes.CANNOT_CONNECT_NOW, "server_busy", TRANSIENT),
    (errorcodes.SERIALIZATION_FAILURE, "destination_busy", TRANSIENT),
    (errorcodes.DEADLOCK_DETECTED, "destination_busy", TRANSIENT),
    (errorcodes.LOCK_NOT_AVAILABLE, "destination_busy", TRANSIENT),
    (errorcodes.OBJECT_IN_USE, "destination_busy", TRANSIENT),
    (errorcodes.ADMIN_SHUTDOWN, "connection_lost", TRANSIENT),
    (errorcodes.CRASH_SHUTDOWN, "connection_lost", TRANSIENT),
    (errorcodes.CONNECTION_FAILURE, "connection_lost", TRANSIENT),
    (errorcodes.READ_ONLY_SQL_TRANSACTION, "server_read_only", TRANSIENT),
]
_AT_ONCE = 'duplicate key value violates unique constraint "pg_namespace_nspname_index"'
OTHERS: list[tuple[BaseException, str, bool]] = [
    (psycopg2.Error(_AT_ONCE), "destination_busy", TRANSIENT),
    (psycopg2.Error("tuple concurrently updated"), "destination_busy", TRANSIENT),
    (psycopg2.OperationalError("could not translate host name"), "host_unreachable", TRANSIENT),
    (psycopg2.OperationalError("FATAL: password authentication failed"), "authentication_failed", TERMINAL),  # noqa: E501
    (psycopg2.OperationalError("server closed the connection unexpectedly"), "connection_lost", TRANSIENT),  # noqa: E501
    (psycopg2.OperationalError("the database system is starting up"), "server_busy", TRANSIENT),
    (psycopg2.OperationalError("server does not support SSL, but SSL was required"), "tls_failed", TERMINAL),  # noqa: E501
    (requests.ConnectionError("refused"), "host_unreachable", TRANSIENT),
    (requests.ReadTimeout("slow"), "host_unreachable", TRANSIENT),
    (requests.exceptions.ChunkedEncodingError("half"), "connection_lost", TRANSIENT),
    (requests.exceptions.SSLError("certificate"), "tls_failed", TERMINAL),
    (requests.exceptions.InvalidURL("no"), "engine.InvalidURL", TERMINAL),
    (http.client.RemoteDisconnected("gone"), "connection_lost", TRANSIENT),
    (ssl.SSLCertVerificationError("self-signed"), "tls_failed", TERMINAL),
    (socket.gaierror(-3, "again"), "host_unreachable", TRANSIENT),
    (TimeoutError(), "host_unreachable", TRANSIENT),
    (ConnectionResetError(errno.ECONNRESET, "reset"), "connection_lost", TRANSIENT),
    (BrokenPipeError(errno.EPIPE, "pipe"), "connection_lost", TRANSIENT),
    (OSError(errno.ENOSPC, "full"), "disk_full", TERMINAL),
    (MemoryError(), "out_of_memory", TERMINAL),
    (KeyError("a bug"), "engine.KeyError", TERMINAL),
    (DatabaseTransientException(psycopg2.OperationalError("odd")), "engine.OperationalError", TRANSIENT),  # noqa: E501
    (DatabaseTerminalException(psycopg2.ProgrammingError("odd")), "engine.ProgrammingError", TERMINAL),  # noqa: E501
    (TransientStepError("x", code="ours"), "ours", TRANSIENT),
    (TerminalStepError("x", code="ours"), "ours", TERMINAL),
]  # fmt: skip


@pytest.mark.parametrize(("state", "code", "transient"), POSTGRES)
def test_a_servers_code_decides(state: str, code: str, transient: bool) -> None:
    found = failure_of(pg(state))
    assert (found.code, found.transient) == (code, transient)
    through_dlt = failure_of(DatabaseTransientException(pg(state)))
    assert (through_dlt.code, through_dlt.transient) == (code, transient)


@pytest.mark.parametrize(
    ("error", "code", "transient"), OTHERS, ids=[repr(error)[:60] for error, _, _ in OTHERS]
)
def test_else_the_class_decides(error: BaseException, code: str, transient: bool) -> None:
    found = failure_of(error)
    assert (found.code, found.transient) == (code, transient)
    around = failure_of(wrapped(RuntimeError("the engine's own words"), error))  # type: ignore[arg-type]
    assert (around.code, around.transient) == (code, transient)


@pytest.mark.parametrize(
    ("status", "transient"),
    [
        (400, TERMINAL), (404, TERMINAL), (410, TERMINAL), (422, TERMINAL), (501, TERMINAL),
        (408, TRANSIENT), (423, TRANSIENT), (425, TRANSIENT), (429, TRANSIENT),
        (500, TRANSIENT), (502, TRANSIENT), (503, TRANSIENT), (504, TRANSIENT),
    ],
)  # fmt: skip
def test_an_apis_status_decides(status: int, transient: bool) -> None:
    found = failure_of(answered(status))
    assert (found.code, found.transient) == (f"http_{status}", transient)


def test_a_refused_login_is_not_tried_again() -> None:
    for status in (401, 403):
        found = failure_of(answered(status))
        assert (found.code, found.transient) == ("authentication_failed", TERMINAL)


@pytest.mark.parametrize(
    ("text", "code", "transient"),
    [
        ("Database Error in model a\n  deadlock detected", "destination_busy", TRANSIENT),
        ("could not serialize access due to concurrent update", "destination_busy", TRANSIENT),
        ("canceling statement due to lock timeout", "destination_busy", TRANSIENT),
        ("canceling statement due to statement timeout", "statement_timeout", TERMINAL),
        ("cannot execute CREATE TABLE in a read-only transaction", "server_read_only", TRANSIENT),
        ("terminating connection due to administrator command", "connection_lost", TRANSIENT),
        ('relation "raw.x" does not exist', "table_missing", TERMINAL),
        ("permission denied for schema raw", "permission_denied", TERMINAL),
    ],
)
def test_of_dbt_only_the_words_are_left(text: str, code: str, transient: bool) -> None:
    found = explain_text(text)
    assert found is not None
    assert (found.code, found.transient) == (code, transient)


def test_a_destination_that_cannot_be_reached_is_tried_again() -> None:
    error: Any = DestinationConnectionError("postgres", "raw", "refused", OSError(111, "refused"))
    found = failure_of(error)
    assert found.transient

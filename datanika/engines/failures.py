"""From an exception of dlt, dbt or a driver to a failure in the tenant's words.

The class or the driver's code decides, never the order of words in a message, except where the
driver gives nothing else.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from datanika.contracts.events import Failure
from datanika.errors import DatanikaError, StepError

_CAUSES: dict[str, tuple[str, str, str | None, bool]] = {
    # code: (code, sentence, hint, transient)
    "authentication_failed": (
        "authentication_failed",
        "The server refused the user name or password.",
        "Correct the connection's user and password.",
        False,
    ),
    "host_unreachable": (
        "host_unreachable",
        "The host does not answer.",
        "Check the connection's host and port, and that the server runs and lets us in.",
        True,
    ),
    "connection_lost": (
        "connection_lost",
        "The server closed the connection.",
        "It may have been restarted; the step can be run again.",
        True,
    ),
    "database_missing": (
        "database_missing",
        "The server has no such database.",
        "Correct the connection's database.",
        False,
    ),
    "permission_denied": (
        "permission_denied",
        "The user lacks a permission.",
        "Grant it in the database, or use another user.",
        False,
    ),
    "table_missing": (
        "table_missing",
        "A table or schema does not exist.",
        "Check the name, and that the step that creates it has run.",
        False,
    ),
    "column_missing": ("column_missing", "A column does not exist.", None, False),
    "sql_invalid": ("sql_invalid", "The database refused the SQL.", None, False),
    "value_invalid": (
        "value_invalid",
        "A value does not fit its column.",
        "Correct the source, or load into a new table.",
        False,
    ),
    "constraint_violated": (
        "constraint_violated",
        "A row breaks a constraint of the table.",
        "Empty or repeated keys are the usual reason.",
        False,
    ),
    "disk_full": ("disk_full", "The disk is full.", "Free some space and run it again.", False),
    "out_of_memory": (
        "out_of_memory",
        "The step needs more memory than it may have.",
        "Load fewer rows at a time, or raise the limit.",
        False,
    ),
    "destination_locked": (
        "destination_busy",
        "Another session holds a lock on the table.",
        "Run it again when the other one is done.",
        True,
    ),
    "server_busy": (
        "server_busy",
        "The server has no free connection or resources.",
        "Run it again later.",
        True,
    ),
}

# SQLSTATE, or its class of two characters: PostgreSQL's Appendix A.
_SQLSTATES = {
    "28": "authentication_failed",
    "3D000": "database_missing",
    "42501": "permission_denied",
    "42P01": "table_missing",
    "3F000": "table_missing",
    "42703": "column_missing",
    "42": "sql_invalid",
    "22": "value_invalid",
    "23": "constraint_violated",
    "53100": "disk_full",
    "53200": "server_busy",
    "53": "server_busy",
    "55P03": "destination_locked",
    "40": "destination_locked",
    "08": "connection_lost",
    "57P01": "connection_lost",
    "57P02": "connection_lost",
    "57P03": "server_busy",
}

# Where a driver has no code (libpq's connection phase, DuckDB, dbt's wrapped messages).
_PHRASES = (
    (r"password authentication failed|no password supplied|authentication failed", "authentication_failed"),  # noqa: E501
    (r'database ".*" does not exist', "database_missing"),
    (r"could not translate host name|connection refused|timeout expired|no route to host"
     r"|network is unreachable|name or service not known|failed to resolve|timed out"
     r"|temporary failure in name resolution", "host_unreachable"),
    (r"server closed the connection|terminating connection|connection already closed"
     r"|ssl syscall error|connection reset|eof detected", "connection_lost"),
    (r"no space left on device|disk full|out of disk", "disk_full"),
    (r"out of memory|cannot allocate memory|bad_alloc|memoryerror", "out_of_memory"),
    (r"too many (clients|connections)|remaining connection slots", "server_busy"),
    (r"permission denied|must be owner of", "permission_denied"),
    (r'(relation|table|schema|view).* does not exist', "table_missing"),
    (r"deadlock detected|could not obtain lock|conflicting lock|could not set lock", "destination_locked"),  # noqa: E501
)  # fmt: skip


def failure_of(error: BaseException) -> Failure:
    """Why ``error`` happened. The message is not redacted yet."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, StepError):
            return Failure(
                code=link.code, message=link.message, hint=link.hint, transient=link.transient
            )
    for link in chain:
        if isinstance(link, DatanikaError):
            return Failure(code=link.code, message=link.message, hint=link.hint)
    for link in chain:
        if (cause := _cause(link)) is not None:
            return _explained(cause, link)
    for link in chain:
        if (found := _http(link)) is not None:
            return found
    text = " ".join(str(link) for link in chain)
    if (cause := _by_phrase(text)) is not None:
        return _explained(cause, chain[-1])
    last = chain[-1]
    return Failure(
        code=f"engine.{type(last).__name__}",
        message=_one_line(str(last)) or f"The engine failed with {type(last).__name__}.",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        inner = getattr(link, "dbapi_exception", None)
        if isinstance(inner, BaseException) and id(inner) not in seen:
            seen.add(id(inner))
            yield inner
        link = link.__cause__ or link.__context__


def _cause(error: BaseException) -> str | None:
    state = getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)
    if isinstance(state, str) and state:
        return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2])
    if isinstance(error, MemoryError):
        return "out_of_memory"
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return "disk_full"
        if error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
            return "host_unreachable"
    name = type(error).__name__
    if name in ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ConnectError"):
        return "host_unreachable"
    return None


def _http(error: BaseException) -> Failure | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if not isinstance(status, int):
        return None
    if status in (401, 403):
        return Failure(
            code="authentication_failed",
            message=f"The API refused the login (HTTP {status}).",
            hint="Correct the connection's token, key or password.",
        )
    return Failure(
        code=f"http_{status}",
        message=f"The API answered with HTTP {status}.",
        hint="Run it again later." if status in (408, 429) or status >= 500 else None,
        transient=status in (408, 429) or status >= 500,
    )


def _by_phrase(text: str) -> str | None:
    lowered = text.lower()
    return next((cause for phrase, cause in _PHRASES if re.search(phrase, lowered)), None)


def _explained(cause: str, error: BaseException) -> Failure:
    code, sentence, hint, transient = _CAUSES[cause]
    detail = _one_line(str(error))
    message = f"{sentence} {detail}" if detail else sentence
    return Failure(code=code, message=message, hint=hint, transient=transient)


def explain_text(text: str) -> Failure | None:
    """The failure that a message alone tells of, for dbt's wrapped errors; None if none."""
    cause = _by_phrase(text)
    if cause is None:
        return None
    code, sentence, hint, transient = _CAUSES[cause]
    return Failure(
        code=code, message=f"{sentence} {_one_line(text)}", hint=hint, transient=transient
    )


def _one_line(text: str) -> str:
    # Whoever redacts it cuts it: half a secret would not be recognised.
    return " ".join(text.split())

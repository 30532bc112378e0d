"""From an exception of dlt, dbt or a driver to a failure in the tenant's words.

The class or the driver's code decides, never the order of words in a message, except where the
driver gives nothing else.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from datanika.contracts.events import Failure
from datanika.errors import DatanikaError, StepError, TerminalStepError, TransientStepError

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
    "created_at_once": (
        "destination_busy",
        "Another session created the same schema or table at that moment.",
        "Run it again.",
        True,
    ),
    "statement_timeout": (
        "statement_timeout",
        "The server ended the statement, because it took too long or somebody cancelled it.",
        "Load or build less in one step, or raise the role's statement_timeout.",
        False,
    ),
    "server_read_only": (
        "server_read_only",
        "The server accepts no writes.",
        "It may be a standby that is about to take over; else choose the primary's host.",
        True,
    ),
    "query_timeout": (
        "query_timeout",
        "The statement took too long.",
        "Ask for less: a filter, fewer joined tables, an aggregate.",
        False,
    ),
    "file_damaged": (
        "file_damaged",
        "The file is damaged, or not of this kind.",
        "Upload it again.",
        False,
    ),
    "not_read_only": (
        "query_not_read_only",
        "Only one statement that reads rows can run here.",
        None,
        False,
    ),
    "tls_failed": (
        "tls_failed",
        "No secure connection could be made.",
        "Check the server's certificate, and the connection's sslmode.",
        False,
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
    "0A": "sql_invalid",
    "21": "sql_invalid",
    "22": "value_invalid",
    "23": "constraint_violated",
    "25006": "server_read_only",
    "25P03": "connection_lost",
    "44": "constraint_violated",
    "53100": "disk_full",
    "53200": "server_busy",
    "53": "server_busy",
    "54": "sql_invalid",
    "55006": "destination_locked",
    "55P03": "destination_locked",
    "40": "destination_locked",
    "08": "connection_lost",
    "57014": "statement_timeout",
    "57P01": "connection_lost",
    "57P02": "connection_lost",
    "57P03": "server_busy",
    "57P04": "database_missing",
    "57P05": "connection_lost",
    "P0": "sql_invalid",
}

_ERRNOS = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "disk_full",
    errno.ECONNREFUSED: "host_unreachable",
    errno.EHOSTUNREACH: "host_unreachable",
    errno.ENETUNREACH: "host_unreachable",
    errno.ETIMEDOUT: "host_unreachable",
    errno.ECONNRESET: "connection_lost",
    errno.ECONNABORTED: "connection_lost",
    errno.EPIPE: "connection_lost",
}

# Of requests, urllib3, http.client and the standard library: none of them has a code.
_CLASSES = {
    "ConnectionError": "host_unreachable",
    "ConnectTimeout": "host_unreachable",
    "ConnectError": "host_unreachable",
    "ReadTimeout": "host_unreachable",
    "TimeoutError": "host_unreachable",
    "gaierror": "host_unreachable",
    "ChunkedEncodingError": "connection_lost",
    "IncompleteRead": "connection_lost",
    "ProtocolError": "connection_lost",
    "RemoteDisconnected": "connection_lost",
    "SSLError": "tls_failed",
    "SSLCertVerificationError": "tls_failed",
}

# Two sessions created the same schema or table, IF NOT EXISTS or not: the second one finds it in
# PostgreSQL's own catalog, and would not the next time.
_CATALOG_RACE = (
    r"unique constraint .pg_(namespace|class|type|attribute|proc)_\w+_index"
    r"|tuple concurrently (updated|deleted)"
)

# Where a driver has no code (libpq's connection phase, DuckDB, dbt's wrapped messages).
_PHRASES = (
    (_CATALOG_RACE, "created_at_once"),
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
    (r"statement timeout|due to user request", "statement_timeout"),
    (r"read-only transaction", "server_read_only"),
    (r"database system is (starting up|shutting down|in recovery)", "server_busy"),
    (r"certificate verify failed|does not support ssl|certificate .*expired", "tls_failed"),
    (r"lock timeout|could not serialize access|deadlock detected|could not obtain lock|conflicting lock|could not set lock", "destination_locked"),  # noqa: E501
)  # fmt: skip


def failure_of(error: BaseException) -> Failure:
    """Why ``error`` happened. The message is not redacted yet."""
    chain = list(chain_of(error))
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
        transient=_dlt_says_transient(chain),
    )


def _dlt_says_transient(chain: list[BaseException]) -> bool:
    """What dlt's own class says of an error that nothing here knows; the innermost counts."""
    for link in reversed(chain):
        bases = {base.__name__ for base in type(link).__mro__}
        if bases & {"TransientException", "TerminalException"}:
            return "TransientException" in bases
    return False


def chain_of(error: BaseException) -> Iterator[BaseException]:
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
        if re.search(_CATALOG_RACE, str(error)):
            return "created_at_once"
        return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2])
    if isinstance(error, MemoryError):
        return "out_of_memory"
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return _ERRNOS[error.errno]
    return _CLASSES.get(type(error).__name__)


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
    passing = status in _PASSING or (status >= 500 and status not in _LASTING)
    return Failure(
        code=f"http_{status}",
        message=f"The API answered with HTTP {status}.",
        hint="Run it again later." if passing else None,
        transient=passing,
    )


# RFC 9110, 4918 and 8470: request timeout, locked, too early, too many requests.
_PASSING = frozenset({408, 423, 425, 429})
_LASTING = frozenset({501, 505})


def _by_phrase(text: str) -> str | None:
    lowered = text.lower()
    return next((cause for phrase, cause in _PHRASES if re.search(phrase, lowered)), None)


def _explained(cause: str, error: BaseException) -> Failure:
    code, sentence, hint, transient = _CAUSES[cause]
    detail = _one_line(str(error))
    message = f"{sentence} {detail}" if detail else sentence
    return Failure(code=code, message=message, hint=hint, transient=transient)


def step_error(cause: str, error: BaseException) -> StepError:
    """A failure of a driver whose own codes a connector has read; ``cause`` is a key above."""
    code, sentence, hint, transient = _CAUSES[cause]
    kind = TransientStepError if transient else TerminalStepError
    return kind(f"{sentence} {_one_line(str(error))}".strip(), code=code, hint=hint)


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

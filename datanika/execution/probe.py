"""``python -m datanika.execution.probe``: tests the connection on stdin, answers on stdout."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from datanika.contracts.events import Failure
from datanika.contracts.steps import ResolvedConnection
from datanika.execution.redact import Redactor
from datanika.execution.sandbox import StepLimits, enter, harden, limit, work_root


def main() -> None:
    connection = ResolvedConnection.model_validate_json(sys.stdin.buffer.read())
    # Whatever a driver prints must not get between the lines of the answer.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    harden()
    with tempfile.TemporaryDirectory(prefix="probe-", dir=work_root()) as folder:
        enter(Path(folder))
        limit(StepLimits(memory_mb=2048, cpu_seconds=60, file_mb=64))
        answer.write(_answer(connection))
        answer.flush()
        os.chdir("/")


def _answer(connection: ResolvedConnection) -> str:
    from datanika.engines.failures import failure_of
    from datanika.engines.probe import check_connection

    try:
        check_connection(connection)
    except Exception as error:
        failure = failure_of(error)
        redacted = Redactor(connection.secrets()).value(failure.model_dump())
        return Failure.model_validate(redacted).model_dump_json()
    return "null"


if __name__ == "__main__":
    main()

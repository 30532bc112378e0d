"""``python -m datanika.execution.ad_hoc FOLDER``: does the action on stdin, answers on stdout.

The folder is empty, and the caller's to remove.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from datanika.contracts.ad_hoc import AdHocAction, AdHocAnswer, ad_hoc_action
from datanika.execution.fence import enclose
from datanika.execution.redact import MAX_FAILURE, Redactor, cut
from datanika.execution.sandbox import StepLimits, enter, harden, limit

LIMITS = StepLimits(memory_mb=3072, cpu_seconds=90, file_mb=64)


def main() -> None:
    action = ad_hoc_action.validate_json(sys.stdin.buffer.read())
    # Whatever a driver prints must not get between the lines of the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    harden()
    folder = Path(sys.argv[1])
    enter(folder)
    limit(LIMITS)
    enclose(folder, [action.connection])
    answer.write(answer_to(action, folder))
    answer.flush()


def answer_to(action: AdHocAction, folder: Path) -> str:
    """The redacted :class:`AdHocAnswer` as JSON; ``folder`` is empty and the caller's to remove."""
    from datanika.engines.ad_hoc.perform import perform
    from datanika.engines.failures import failure_of

    work = folder / "work"
    work.mkdir()
    try:
        answer = AdHocAnswer(result=perform(action, work))
    except Exception as error:
        answer = AdHocAnswer(failure=failure_of(error))
    redactor = Redactor(action.connection.secrets())
    redacted = _redacted(answer.model_dump(mode="json"), redactor)
    redacted["failure"] = cut(redacted["failure"], MAX_FAILURE)
    return AdHocAnswer.model_validate(redacted).model_dump_json()


def _redacted(value: Any, redactor: Redactor) -> Any:
    """Every text but the field names and types, which are ours: a password may be called "rows"."""
    if isinstance(value, dict):
        return {
            name: item if name == "type" else _redacted(item, redactor)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_redacted(item, redactor) for item in value]
    return redactor.text(value) if isinstance(value, str) else value


if __name__ == "__main__":
    main()

"""``python -m datanika.execution.ad_hoc FOLDER``: does the action on stdin, answers on stdout.

The folder is empty, and the caller's to remove.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from datanika.contracts.ad_hoc import AdHocAction, AdHocAnswer, ad_hoc_action, connections_of
from datanika.execution.ad_hoc_host import LIMITS
from datanika.execution.fence import enclose
from datanika.execution.parse_cache import MAX_ENTRY, ParseEntry, read_parse
from datanika.execution.redact import MAX_FAILURE, Redactor, cut
from datanika.execution.sandbox import enter, harden, limit


def main() -> None:
    # Whatever a driver prints must not get between the lines of the answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    harden()
    folder = Path(sys.argv[1])
    enter(folder)
    limit(LIMITS)
    answer(sys.stdin.buffer, answers, folder)


def work(orders: BinaryIO, channel: socket.socket, folder: Path) -> None:
    """The same in a child of a warm host."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    with channel.makefile("wb") as answers:
        answer(orders, answers, folder)


def answer(orders: BinaryIO, answers: BinaryIO, folder: Path) -> None:
    """Do the action in ``orders`` behind the fence. Its answer is a line; what follows the line is
    what the parse of a project left."""
    line = orders.readline()
    if not line:
        return
    action = ad_hoc_action.validate_json(line)
    enclose(folder, connections_of(action))
    parse, left = read_parse(orders), list[bytes]()
    text = answer_to(action, folder, parse, left.append)
    answers.write(text.encode() + b"\n")
    if left and len(left[-1]) <= MAX_ENTRY:
        answers.write(left[-1])
    answers.flush()


def answer_to(
    action: AdHocAction,
    folder: Path,
    parse: ParseEntry | None = None,
    keep: Callable[[bytes], None] | None = None,
) -> str:
    """The redacted :class:`AdHocAnswer` as JSON; ``folder`` is empty and the caller's to remove."""
    from datanika.engines.ad_hoc.perform import perform
    from datanika.engines.dbt_engine.parsed import KnownParse
    from datanika.engines.failures import failure_of

    work = folder / "work"
    work.mkdir()
    known = KnownParse(parse.data, parse.exact, keep) if parse else KnownParse()
    try:
        answer = AdHocAnswer(result=perform(action, work, known))
    except Exception as error:
        answer = AdHocAnswer(failure=failure_of(error))
    redactor = Redactor(secret for one in connections_of(action) for secret in one.secrets())
    redacted = _redacted(answer.model_dump(mode="json"), redactor)
    redacted["failure"] = cut(redacted["failure"], MAX_FAILURE)
    return AdHocAnswer.model_validate(redacted).model_dump_json()


def _redacted(value: Any, redactor: Redactor) -> Any:
    """Every text but the field names and types, which are ours: a password may be called "rows"."""
    if isinstance(value, dict):
        return {
            name: item if name in ("type", "use") else _redacted(item, redactor)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_redacted(item, redactor) for item in value]
    return redactor.text(value) if isinstance(value, str) else value


if __name__ == "__main__":
    main()

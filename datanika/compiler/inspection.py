"""What is wrong with a text while somebody writes it: the guard's word, and names that are nowhere.

It reads one text only, so that it can answer at every pause of the typing; the whole project is
checked when it is saved.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from jinja2 import nodes

from datanika.compiler.jinja_guard import check_template
from datanika.errors import GuardRefused

_LINE = re.compile(r"\bline (\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """``line`` counts from 1. ``severity``: ``error`` (it cannot be saved) or ``warning``."""

    line: int
    message: str
    severity: str = "error"
    column: int = 1


def inspect_template(
    text: str,
    *,
    macros: Collection[str],
    relations: Collection[str],
    sources: Collection[tuple[str, str]],
    defines_macros: bool = False,
) -> list[Diagnostic]:
    """``macros``, ``relations`` and ``sources`` are those that exist. A source that no run has
    brought yet is a warning: the next one may."""
    try:
        tree = check_template(text, field="sql", macros=macros, defines_macros=defines_macros)
    except GuardRefused as error:
        hint = f" {error.hint}" if error.hint else ""
        said = re.sub(r"^Line \d+: ", "", error.message)
        return [Diagnostic(int(error.context.get("line") or 1), said + hint)]
    found = []
    for call in tree.find_all(nodes.Call):
        if not isinstance(call.node, nodes.Name):
            continue
        names = [str(arg.value) for arg in call.args if isinstance(arg, nodes.Const)]
        if call.node.name == "ref" and names[0] not in relations:
            found.append(
                Diagnostic(call.lineno, f"There is no transformation {names[0]!r} here.", "warning")
            )
        elif call.node.name == "source" and (names[0], names[1]) not in sources:
            found.append(
                Diagnostic(
                    call.lineno, f"No run has made {names[0]}.{names[1]} here yet.", "warning"
                )
            )
    return sorted(found, key=lambda one: one.line)


def diagnostic_of(message: str, lines: int) -> Diagnostic:
    """An engine's message at the line that it names; at the first where it names none of the
    ``lines`` there are."""
    named = [int(line) for line in _LINE.findall(message)]
    return Diagnostic(next((line for line in named if 1 <= line <= lines), 1), message)

"""A dbt file cut into its blocks, and ``config(…)`` taken out of it. Line numbers are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes

_KINDS = "macro|test|snapshot|docs|materialization"
_OPEN = re.compile(rf"\{{%[-+]?\s*({_KINDS})\s+([A-Za-z_]\w*)")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_CONFIG = re.compile(r"\{\{[-+]?\s*config\s*\(")
_environment = Environment()


@dataclass(frozen=True)
class Block:
    """``text`` is the whole block, ``body`` what is inside; both begin in ``line``."""

    kind: str
    name: str
    text: str
    body: str
    line: int


def read_blocks(text: str) -> Iterator[Block]:
    """The blocks of a macro, snapshot or docs file, in order. What has no end is left to the end
    of the text: the guard says what is wrong with it."""
    masked = _masked(text)
    position = 0
    while found := _OPEN.search(masked, position):
        kind = found[1]
        head = masked.find("%}", found.end())
        inside = len(text) if head < 0 else head + 2
        end = re.compile(rf"\{{%[-+]?\s*end{kind}\s*[-+]?%\}}").search(masked, inside)
        stop, inner = (end.end(), end.start()) if end else (len(text), len(text))
        line = text.count("\n", 0, found.start()) + 1
        yield Block(kind, found[2], text[found.start() : stop], text[inside:inner], line)
        position = stop


def outside_blocks(text: str) -> str:
    """What stands beside the blocks, without comments."""
    masked = _masked(text)
    for block in read_blocks(text):
        masked = masked.replace(_masked(block.text), "", 1)
    return masked.strip()


def as_macro(block: Block) -> tuple[str, str]:
    """(name, text) of a macro, or of a ``test`` block as the macro that dbt makes of it."""
    if block.kind == "macro":
        return block.name, block.text
    text = re.sub(r"^(\{%[-+]?\s*)test(\s+)", r"\1macro\2test_", block.text, count=1)
    text = re.sub(r"(\{%[-+]?\s*)endtest(\s*[-+]?%\})$", r"\1endmacro\2", text)
    return f"test_{block.name}", text


def take_config(text: str) -> tuple[str, dict[str, Any], list[str], int]:
    """(text without its config blocks, their literal settings, names of the others, line).

    A call that cannot be read is left where it is: the guard refuses it.
    """
    settings: dict[str, Any] = {}
    unread: list[str] = []
    line, rest, start = 1, text, 0
    while found := _CONFIG.search(_masked(rest), start):
        end = _end_of(rest, found.end())
        start = found.end()
        if end is None:
            break
        snippet = rest[found.start() : end]
        call = _call(snippet)
        if call is None:
            continue
        line = rest.count("\n", 0, found.start()) + 1
        for key, value in _arguments(call):
            try:
                settings[key] = literal(value)
            except ValueError:
                unread.append(key)
        rest = rest[: found.start()] + "\n" * snippet.count("\n") + rest[end:]
        start = found.start()
    return rest, settings, unread, line


def _arguments(call: nodes.Call) -> Iterator[tuple[str, nodes.Expr]]:
    for argument in call.args:
        if isinstance(argument, nodes.Dict):
            for pair in argument.items:
                yield str(getattr(pair.key, "value", "?")), pair.value
        else:
            yield "?", argument
    for keyword in call.kwargs:
        yield keyword.key, keyword.value


def literal(node: nodes.Expr) -> Any:
    """The value of a literal; raises ValueError for anything that would have to be computed."""
    if isinstance(node, nodes.Const):
        return node.value
    if isinstance(node, nodes.List | nodes.Tuple):
        return [literal(item) for item in node.items]
    if isinstance(node, nodes.Dict):
        return {str(literal(pair.key)): literal(pair.value) for pair in node.items}
    if isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const):
        return -node.node.value
    raise ValueError("not a literal")


def _call(snippet: str) -> nodes.Call | None:
    try:
        tree = _environment.parse(snippet)
    except (TemplateSyntaxError, RecursionError):
        return None
    for output in tree.body:
        if isinstance(output, nodes.Output):
            for node in output.nodes:
                if isinstance(node, nodes.Call) and getattr(node.node, "name", "") == "config":
                    return node
    return None


def _end_of(text: str, position: int) -> int | None:
    """After the ``}}`` that ends the expression; quoted ones do not."""
    quote = ""
    while position < len(text):
        one = text[position]
        if quote:
            if one == "\\":
                position += 1
            elif one == quote:
                quote = ""
        elif one in "'\"":
            quote = one
        elif text.startswith("}}", position):
            return position + 2
        position += 1
    return None


def _masked(text: str) -> str:
    """The same length, comments blank."""
    return _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)

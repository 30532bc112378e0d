"""A specification as YAML, both ways: what people read, edit and compare.

Connections stay ids, because names may change; their names follow as comments. What is as it is by
default is left out. Reading tells each fault with its line, so that an editor can show it there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from datanika.contracts.spec import PipelineSpec
from datanika.errors import SpecError

MAX_TEXT = 1_000_000
MAX_PROBLEMS = 50
MAX_DEPTH = 50
_FIRST = ("key", "kind", "depends_on", "name", "target")
_LAST = ("tables", "retry")
_WORDS = {
    "too_short": "At least one is needed.",
    "missing": "This is needed.",
    "extra_forbidden": "There is no such field.",
}
_EMPTY: tuple[object, ...] = (None, "", [], {})


@dataclass(frozen=True)
class Problem:
    """What is wrong at a place of the text; ``line`` and ``column`` count from 1, ``field`` is a
    dotted path into the specification."""

    line: int
    column: int
    field: str
    message: str
    code: str
    hint: str = ""


@dataclass(frozen=True)
class ReadSpec:
    """``content`` is what the text says, if it is a mapping; ``spec`` is there when it is one."""

    content: dict[str, Any] | None
    spec: PipelineSpec | None
    problems: tuple[Problem, ...]


# libyaml is twenty times as fast; wheels bring it.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """JSON's values only: a date stays the text that it is."""


_Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Lists are indented under their key."""
        super().increase_indent(flow, False)


def spec_content(spec: PipelineSpec) -> dict[str, Any]:
    """The specification as JSON, without what is as it is by default."""
    content = spec.model_dump(mode="json", exclude_defaults=True)
    for step, written in zip(spec.steps, content["steps"], strict=True):
        written["kind"] = step.kind.value
    ordered: dict[str, Any] = _ordered(content)
    return ordered


def write_yaml(content: Mapping[str, Any], names: Mapping[int, str] | None = None) -> str:
    """The YAML of ``content``, valid or not; ``names`` are those of connections, by id."""
    text = yaml.dump(
        _ordered(_filled(dict(content))),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )
    lines = [_commented(line, names or {}) for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def read_yaml(text: str) -> ReadSpec:
    """What ``text`` says. Never raises: what is wrong is in ``problems``."""
    if len(text) > MAX_TEXT:
        message = f"The text has more than {MAX_TEXT:,} characters."
        return ReadSpec(None, None, (Problem(1, 1, "", message, "yaml_too_long"),))
    try:
        node = _compose(text)
        # SafeLoader and no aliases: plain values, as many as there are in the text.
        content = _construct(node)
        json.dumps(content, allow_nan=False)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        return ReadSpec(None, None, (_syntax(error),))
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        message = "A specification is a mapping that begins with `steps:`."
        return ReadSpec(None, None, (Problem(1, 1, "", message, "yaml_no_mapping"),))
    try:
        spec = PipelineSpec.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # Where an entry of a list is wrong pydantic counts it as missing, too.
        told = [
            one
            for one in found
            if one["type"] != "too_short"
            or not any(
                other["loc"][: len(one["loc"])] == one["loc"] != other["loc"] for other in found
            )
        ]
        problems = tuple(
            _problem(node, one["loc"], one["msg"], one["type"]) for one in told[:MAX_PROBLEMS]
        )
        return ReadSpec(content, None, problems)
    return ReadSpec(content, spec, ())


def locate(text: str, error: SpecError) -> Problem:
    """Where in ``text``, which :func:`read_yaml` has read, the field of ``error`` stands."""
    path = [int(part) if part.isdigit() else part for part in (error.field or "").split(".")]
    return _problem(_compose(text), path, error.message, error.code, error.hint or "")


def _compose(text: str) -> yaml.Node | None:
    _refuse_bombs(text)
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


def _refuse_bombs(text: str) -> None:
    """Little text may not become much work: no aliases, and no depth that a specification has not.

    Events come one by one, so what is refused is not read to its end.
    """
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("Aliases (*name) are not supported.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"It is nested more than {MAX_DEPTH} levels deep.")


def _construct(node: yaml.Node | None) -> Any:
    if node is None:
        return None
    _refuse_twins(node)
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_twins(node: yaml.Node) -> None:
    """YAML lets the last of equal keys win: what was written before it would be lost."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen if isinstance(key.value, str) else True:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is there twice, or is no text",
                    problem_mark=key.start_mark,
                )
            seen.add(key.value)
            _refuse_twins(value)
    elif isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _refuse_twins(one)


def _syntax(error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error) or "It is nested too deeply."
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return Problem(line, column, "", f"This is not YAML: {said}", "yaml_invalid")


def _problem(
    root: yaml.Node | None, path: Sequence[str | int], message: str, code: str, hint: str = ""
) -> Problem:
    """A fault at ``path``, or at the last part of it that the text has."""
    node, mark, known = root, root.start_mark if root else None, []
    for part in path:
        found = _child(node, part)
        if found is None:
            # A kind's name that pydantic adds to the path, or what is missing.
            continue
        key, node = found
        mark = key.start_mark
        known.append(part)
    missing = [path[-1]] if path and code == "missing" else []
    field = ".".join(map(str, [*known, *missing]))
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return Problem(line, column, field, message, code, hint)


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The node that shows where ``part`` is, and its value."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _filled(value: Any) -> Any:
    """Without what says nothing."""
    if isinstance(value, dict):
        kept = {key: _filled(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one not in _EMPTY or key == "steps"}
    if isinstance(value, list | tuple):
        return [_filled(one) for one in value]
    return value


def _ordered(value: Any) -> Any:
    """Keys in the order in which people look for them."""
    if isinstance(value, dict):
        names = [
            *(name for name in _FIRST if name in value),
            *(name for name in value if name not in _FIRST and name not in _LAST),
            *(name for name in _LAST if name in value),
        ]
        return {name: _ordered(value[name]) for name in names}
    if isinstance(value, list | tuple):
        return [_ordered(one) for one in value]
    return value


def _commented(line: str, names: Mapping[int, str]) -> str:
    name, colon, number = line.strip().removeprefix("- ").partition(": ")
    if colon and name in ("source_id", "destination_id") and number.isascii() and number.isdigit():
        known = names.get(int(number))
        return f"{line}  # {' '.join(known.split())}" if known else line
    return line

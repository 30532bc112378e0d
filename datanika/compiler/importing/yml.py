"""Somebody's yml: safe, bounded, and every mapping knows its line."""

from __future__ import annotations

from typing import Any

import yaml

MAX_NODES = 100_000
MAX_DEPTH = 40
_TAGS = ("null", "bool", "int", "float", "str", "timestamp", "map", "seq")


class YmlRefused(Exception):
    """``line`` is where."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


class Mapping(dict[str, Any]):
    """A mapping that knows the line it starts in."""

    line: int = 1


def read_yml(text: str) -> Any:
    """Mappings, lists and plain values; dates stay texts. Raises :class:`YmlRefused`.

    Aliases are followed and counted each time, so that they cannot grow without end.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _Reader(loader).read(node, 0)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise YmlRefused(
            str(getattr(error, "problem", None) or error), mark.line + 1 if mark else 1
        ) from None
    except RecursionError:
        raise YmlRefused("This is nested too deeply.") from None
    finally:
        loader.dispose()


class _Reader:
    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._left = MAX_NODES

    def read(self, node: yaml.Node, depth: int) -> Any:
        line = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise YmlRefused("This is too large or nested too deeply.", line)
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind not in _TAGS:
            raise YmlRefused(f"The tag {node.tag[:100]!r} is refused.", line)
        if isinstance(node, yaml.MappingNode):
            found = Mapping()
            found.line = line
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                    raise YmlRefused("Merge keys and keys that are no text are not read.", line)
                found[str(key.value)] = self.read(value, depth + 1)
            return found
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, depth + 1) for item in node.value]
        if kind == "timestamp":
            return str(node.value)
        return self._loader.construct_object(node)

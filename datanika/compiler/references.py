"""Which models, sources and macros a template names, read from its syntax tree."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from jinja2 import nodes

from datanika.compiler.jinja_guard import FUNCTIONS, check_template


@dataclass(frozen=True)
class References:
    """Sorted, each once. ``macros`` are the tenant's macros that are called."""

    refs: tuple[str, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    macros: tuple[str, ...] = ()

    def __or__(self, other: References) -> References:
        return References(
            tuple(sorted({*self.refs, *other.refs})),
            tuple(sorted({*self.sources, *other.sources})),
            tuple(sorted({*self.macros, *other.macros})),
        )


def read_references(tree: nodes.Template) -> References:
    """``ref()``, ``source()`` and macro calls of a template that the guard let through."""
    refs: set[str] = set()
    sources: set[tuple[str, str]] = set()
    macros: set[str] = set()
    for call in tree.find_all(nodes.Call):
        if not isinstance(call.node, nodes.Name):
            continue
        names = [arg.value for arg in call.args if isinstance(arg, nodes.Const)]
        match call.node.name:
            case "ref":
                refs.add(names[0])
            case "source":
                sources.add((names[0], names[1]))
            case name if name not in FUNCTIONS:
                macros.add(name)
    return References(tuple(sorted(refs)), tuple(sorted(sources)), tuple(sorted(macros)))


def defined_macros(tree: nodes.Template) -> frozenset[str]:
    """Names of the macros that a macro file defines."""
    return frozenset(macro.name for macro in tree.find_all(nodes.Macro))


def references_of(sql: str, *, field: str, macros: Collection[str] = ()) -> References:
    """Guard ``sql``, then read it. Raises :class:`~datanika.errors.GuardRefused`."""
    return read_references(check_template(sql, field=field, macros=macros))

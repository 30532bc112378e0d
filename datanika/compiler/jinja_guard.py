"""Which Jinja a tenant may write: an allow-list of syntax tree shapes, never a list of bad names.

dbt's Jinja is not a sandbox: ``env_var`` reads the process, a ``run_query`` result writes files, a
hook in ``config()`` is rendered a second time. So every node of the template's syntax tree must be
of a known harmless shape, every function one of :data:`FUNCTIONS`, and everything else is refused
with its line (trust.md T2). The engine child stays harmless with this guard switched off; this is
the first wall and the one that explains.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NoReturn

from jinja2 import Environment, TemplateSyntaxError, nodes

from datanika.errors import GuardRefused

FUNCTIONS = frozenset({"ref", "source", "config", "var", "is_incremental", "range"})
"""What a template may call by its bare name, besides the tenant's own macros."""

CROSS_DATABASE = frozenset(
    {
        "any_value", "array_append", "array_concat", "array_construct", "bool_or",
        "cast_bool_to_text", "concat", "current_timestamp", "date_trunc", "dateadd", "datediff",
        "escape_single_quotes", "except", "hash", "intersect", "last_day", "length", "listagg",
        "position", "replace", "right", "safe_cast", "split_part", "string_literal",
        "type_bigint", "type_boolean", "type_float", "type_int", "type_numeric", "type_string",
        "type_timestamp",
    }
)  # fmt: skip
"""``dbt.<name>``: dbt's own SQL dialect helpers, which only return text."""

ATTRIBUTES = {
    "this": frozenset({"database", "schema", "identifier", "name", "table"}),
    "target": frozenset({"name", "schema", "type"}),
    "loop": frozenset({"first", "last", "index", "index0", "revindex", "revindex0", "length"}),
}
VARIABLES = frozenset({"this", "target", "loop", "execute"})

FILTERS = frozenset(
    {
        "abs", "as_bool", "as_native", "as_number", "as_text", "capitalize", "count", "d",
        "default", "first", "float", "int", "join", "last", "length", "list", "lower", "replace",
        "reverse", "round", "sort", "string", "title", "trim", "unique", "upper",
    }
)  # fmt: skip
TESTS = frozenset(
    {
        "defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true",
        "false", "mapping", "sequence", "iterable", "odd", "even", "divisibleby", "in", "eq",
        "equalto", "ne", "lt", "le", "gt", "ge",
    }
)  # fmt: skip

CONFIG_KEYS = frozenset(
    {
        "materialized", "unique_key", "incremental_strategy", "on_schema_change",
        "merge_update_columns", "merge_exclude_columns", "incremental_predicates", "tags",
        "enabled", "indexes", "unlogged", "strategy", "updated_at", "check_cols", "hard_deletes",
        "severity", "warn_if", "error_if", "limit", "where", "fail_calc", "store_failures",
        "event_time", "batch_size", "begin", "lookback", "dbt_valid_to_current",
    }
)  # fmt: skip
"""``config()`` keys. Hooks are rendered again by dbt; schema, alias and database are the
transformation's own fields; ``location`` and ``packages`` reach files."""
MATERIALIZATIONS = frozenset({"view", "table", "incremental", "ephemeral", "materialized_view"})

MAX_CHARACTERS = 500_000
MAX_RANGE = 1_000
MAX_LOOP_DEPTH = 3
_MARKERS = ("{{", "{%", "{#")
# What dbt itself takes for a call: dbt/clients/jinja.py, add_rendered_test_kwargs.
_CALL_IN_YML = re.compile(r"^\s*(env_var|ref|var|source|doc)\s*\(.*\)\s*$", re.DOTALL)

_TRANSPARENT = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.CondExpr,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
    nodes.Compare,
    nodes.Operand,
    nodes.Not,
    nodes.And,
    nodes.Or,
    nodes.Neg,
    nodes.Pos,
    nodes.Add,
    nodes.Sub,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Concat,
    nodes.Keyword,
    nodes.Break,
    nodes.Continue,
)
"""Shapes that are harmless when their children are. No ``*``, ``**`` or ``%``: they build bombs."""

_environment = Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])


def check_template(
    text: str,
    *,
    field: str,
    macros: Collection[str] = (),
    defines_macros: bool = False,
) -> nodes.Template:
    """Parse ``text`` and return its syntax tree; raise :class:`GuardRefused` with the line.

    ``macros`` are the tenant's own macros, which may be called, and ``package.macro`` of the
    packages in use. Only a macro file
    (``defines_macros``) may define macros, and it may contain nothing else.
    """
    if len(text) > MAX_CHARACTERS:
        raise GuardRefused(
            f"This is longer than {MAX_CHARACTERS:,} characters.",
            code="template_too_long",
            field=field,
        )
    try:
        _refuse_raw_blocks(text, field)
        tree = _environment.parse(text)
        _Guard(field, frozenset(macros), defines_macros).check(tree)
    except TemplateSyntaxError as error:
        raise GuardRefused(
            f"Line {error.lineno}: {error.message}",
            code="template_syntax",
            field=field,
            line=error.lineno,
        ) from None
    except RecursionError:
        raise GuardRefused(
            "This is nested too deeply.", code="template_too_deep", field=field
        ) from None
    return tree


def _refuse_raw_blocks(text: str, field: str) -> None:
    """dbt cuts macro and snapshot files into blocks with a lexer of its own: leave no text in
    which the two lexers could see different blocks."""
    for line, kind, _ in _environment.lex(text):
        if kind == "raw_begin":
            raise GuardRefused(f"Line {line}: raw blocks are not allowed.", field=field, line=line)


def check_plain(text: str, *, field: str) -> None:
    """Refuse Jinja in a string that dbt would render although it is no template."""
    if any(marker in text for marker in _MARKERS):
        raise GuardRefused(
            "Jinja is not allowed here.", code="jinja_not_allowed", field=field, line=1
        )


def check_yml_value(value: object, *, field: str) -> None:
    """Check the argument of a generic test: dbt renders its strings, and calls what looks so.

    ``ref('airports')`` is fine, ``env_var('X')`` is not, though neither has braces.
    """
    if isinstance(value, str):
        check_plain(value, field=field)
        if _CALL_IN_YML.match(value):
            check_template("{{ " + value + " }}", field=field)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_plain(str(key), field=field)
            check_yml_value(item, field=f"{field}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_yml_value(item, field=f"{field}.{index}")


class _Guard:
    """One walk over one template."""

    def __init__(self, field: str, macros: frozenset[str], defines_macros: bool) -> None:
        self.field = field
        self.macros = macros
        self.defines_macros = defines_macros
        self.locals: set[str] = set()
        self.loops = 0

    def refuse(self, node: nodes.Node, what: str, hint: str | None = None) -> NoReturn:
        line = getattr(node, "lineno", None) or 1
        raise GuardRefused(f"Line {line}: {what}", hint=hint, field=self.field, line=line)

    def check(self, tree: nodes.Template) -> None:
        self._collect_locals(tree)
        if self.defines_macros:
            self._only_macros(tree)
        self.visit(tree)

    def _collect_locals(self, tree: nodes.Template) -> None:
        for name in tree.find_all(nodes.Name):
            if name.ctx in ("store", "param"):
                if name.name in FUNCTIONS | VARIABLES | self.macros or name.name == "dbt":
                    self.refuse(name, f"{name.name!r} is taken: choose another variable name.")
                self.locals.add(name.name)

    def _only_macros(self, tree: nodes.Template) -> None:
        for node in tree.body:
            text_only = isinstance(node, nodes.Output) and all(
                isinstance(part, nodes.TemplateData) and not part.data.strip()
                for part in node.nodes
            )
            if not (isinstance(node, nodes.Macro) or text_only):
                self.refuse(node, "A macro file may contain macros and comments only.")

    def visit(self, node: nodes.Node) -> None:
        handler = getattr(self, f"_visit_{type(node).__name__.lower()}", None)
        if handler is not None:
            handler(node)
        elif isinstance(node, _TRANSPARENT) and type(node) in _TRANSPARENT:
            self.visit_all(node.iter_child_nodes())
        else:
            self.refuse(node, f"{type(node).__name__} is not allowed in a transformation.")

    def visit_all(self, children: Iterable[nodes.Node]) -> None:
        for child in children:
            self.visit(child)

    def _visit_const(self, node: nodes.Const) -> None:
        if isinstance(node.value, str) and any(marker in node.value for marker in _MARKERS):
            self.refuse(node, "Jinja inside a string is not allowed.")

    def _visit_name(self, node: nodes.Name) -> None:
        if node.ctx == "load" and node.name not in self.locals | VARIABLES:
            self.refuse(
                node,
                f"{node.name!r} is not available here.",
                f"Available: {', '.join(sorted(FUNCTIONS | VARIABLES))}, your own macros and "
                "the variables you set.",
            )

    def _visit_assign(self, node: nodes.Assign) -> None:
        self._target(node.target)
        self.visit(node.node)

    def _visit_assignblock(self, node: nodes.AssignBlock) -> None:
        self._target(node.target)
        if node.filter is not None:
            self.refuse(node, "A filter on a set block is not allowed.")
        self.visit_all(node.body)

    def _target(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Tuple):
            for item in node.items:
                self._target(item)
        elif not isinstance(node, nodes.Name):
            self.refuse(node, "Only plain variables can be set.")

    def _visit_for(self, node: nodes.For) -> None:
        if node.recursive:
            self.refuse(node, "A recursive loop is not allowed.")
        self._target(node.target)
        if not isinstance(node.iter, nodes.List | nodes.Tuple | nodes.Name | nodes.Call):
            self.refuse(node, "A loop needs a list, a variable or range().")
        self.visit(node.iter)
        if self.loops >= MAX_LOOP_DEPTH:
            self.refuse(node, f"Loops may be nested {MAX_LOOP_DEPTH} deep at most.")
        self.loops += 1
        self.visit_all([*([node.test] if node.test else []), *node.body, *node.else_])
        self.loops -= 1

    def _visit_macro(self, node: nodes.Macro) -> None:
        if not self.defines_macros:
            self.refuse(node, "Macros live in transformations of kind macro.")
        self.visit_all([*node.defaults, *node.body])

    def _visit_filter(self, node: nodes.Filter) -> None:
        if node.name not in FILTERS or node.dyn_args is not None or node.dyn_kwargs is not None:
            self.refuse(node, f"The filter {node.name!r} is not allowed.")
        if node.kwargs or (node.name in ("sort", "unique") and node.args):
            self.refuse(node, f"The filter {node.name!r} takes no such arguments here.")
        if node.name == "join" and len(node.args) > 1:
            self.refuse(node, "The filter 'join' takes only the separator here.")
        if node.node is None:
            self.refuse(node, "A filter needs a value.")
        self.visit_all([node.node, *node.args])

    def _visit_test(self, node: nodes.Test) -> None:
        if node.name not in TESTS or node.dyn_args is not None or node.dyn_kwargs is not None:
            self.refuse(node, f"The test {node.name!r} is not allowed.")
        self.visit_all([node.node, *node.args, *node.kwargs])

    def _visit_getattr(self, node: nodes.Getattr) -> None:
        base = node.node.name if isinstance(node.node, nodes.Name) else None
        if base is None or node.attr not in ATTRIBUTES.get(base, frozenset()):
            self.refuse(node, f"The attribute {node.attr!r} is not available here.")

    def _visit_getitem(self, node: nodes.Getitem) -> None:
        key = node.arg
        if isinstance(key, nodes.Slice):
            for part in (key.start, key.stop, key.step):
                if part is not None and not _is_integer(part):
                    self.refuse(node, "A slice takes plain numbers.")
        elif not (
            _is_integer(key)
            or (
                isinstance(key, nodes.Const)
                and isinstance(key.value, str)
                and not key.value.startswith("_")
            )
        ):
            self.refuse(node, "An index is a plain number or a plain name.")
        self.visit(node.node)

    def _visit_call(self, node: nodes.Call) -> None:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self.refuse(node, "* and ** in a call are not allowed.")
        # Arguments first: the checks below evaluate constants, which must be harmless by then.
        self.visit_all([*node.args, *node.kwargs])
        function = node.node
        if isinstance(function, nodes.Name):
            self._named_call(node, function.name)
        elif isinstance(function, nodes.Getattr) and isinstance(function.node, nodes.Name):
            owner, method = function.node.name, function.attr
            is_helper = owner == "dbt" and method in CROSS_DATABASE
            is_view = owner in self.locals and method in ("items", "keys", "values")
            is_packaged = f"{owner}.{method}" in self.macros and owner not in self.locals
            if is_packaged:
                return
            if not is_helper and not (is_view and not node.args and not node.kwargs):
                self.refuse(node, f"{owner}.{method}() may not be called.")
        else:
            self.refuse(node, "Only a named function may be called.")

    def _named_call(self, node: nodes.Call, name: str) -> None:
        if name not in FUNCTIONS | self.macros or name in self.locals:
            self.refuse(
                node,
                f"{name}() may not be called.",
                f"Callable: {', '.join(sorted(FUNCTIONS))}, dbt.<dialect helper> and your macros.",
            )
        if name in ("ref", "source"):
            wanted = 1 if name == "ref" else 2
            names = [arg.value for arg in node.args if isinstance(arg, nodes.Const)]
            if (
                node.kwargs
                or len(node.args) != wanted
                or len(names) != wanted
                or not all(isinstance(item, str) for item in names)
            ):
                self.refuse(
                    node,
                    f"{name}() needs {'one quoted name' if wanted == 1 else 'two quoted names'}.",
                    "Dependencies must be readable before the run: no variables, no packages.",
                )
        elif name == "range":
            if not all(_is_integer(arg) for arg in node.args) or any(
                abs(arg.value) > MAX_RANGE for arg in node.args if isinstance(arg, nodes.Const)
            ):
                self.refuse(node, f"range() takes plain numbers up to {MAX_RANGE:,}.")
        elif name == "config":
            self._config_call(node)

    def _config_call(self, node: nodes.Call) -> None:
        if node.args:
            self.refuse(node, "config() takes named settings.")
        for setting in node.kwargs:
            if setting.key not in CONFIG_KEYS:
                self.refuse(
                    node,
                    f"config({setting.key}=…) is not allowed.",
                    "The destination schema and the name are fields of the transformation.",
                )
            try:
                value = setting.value.as_const()
            except nodes.Impossible:
                self.refuse(node, f"config({setting.key}=…) needs a plain value.")
            if setting.key == "materialized" and value not in MATERIALIZATIONS:
                self.refuse(node, f"{value!r} is not a materialization here.")


def _is_integer(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Neg):
        return _is_integer(node.node)
    return isinstance(node, nodes.Const) and type(node.value) is int

"""What an editor is told at each pause of the typing."""

from __future__ import annotations

from datanika.compiler.inspection import Diagnostic, diagnostic_of, inspect_template


def told(text: str, **known: object) -> list[tuple[int, str, str]]:
    about = {"macros": (), "relations": {"orders"}, "sources": {("raw", "orders")}, **known}
    found = inspect_template(text, **about)  # type: ignore[arg-type]
    return [(one.line, one.severity, one.message) for one in found]


def test_what_may_not_run_is_an_error_at_its_line() -> None:
    ((line, severity, message),) = told("select 1\n\n, {{ env_var('HOME') }}")
    assert (line, severity) == (3, "error")
    assert message.startswith("env_var() may not be called. Callable: config, is_incremental")
    ((line, severity, message),) = told("select {{ ref('orders' }}\n")
    assert (line, severity) == (1, "error")


def test_names_that_are_nowhere_are_warnings_in_the_order_of_the_lines() -> None:
    text = "select *\nfrom {{ source('raw', 'clicks') }}\njoin {{ ref('ordres') }} using (id)"
    assert told(text) == [
        (2, "warning", "No run has made raw.clicks here yet."),
        (3, "warning", "There is no transformation 'ordres' here."),
    ]
    assert told("select * from {{ ref('orders') }}, {{ source('raw', 'orders') }}") == []


def test_macros_are_known_and_a_macro_file_holds_nothing_else() -> None:
    assert told("select {{ cents('a') }}", macros={"cents"}) == []
    assert told("{% macro cents(a) %}{{ a }}{% endmacro %}", defines_macros=True) == []
    ((_, severity, _),) = told("select 1", defines_macros=True)
    assert severity == "error"


def test_an_engines_message_stands_at_the_line_it_names() -> None:
    message = "column x does not exist LINE 7: select x"
    assert diagnostic_of(message, 9) == Diagnostic(7, message)
    assert diagnostic_of(message, 3).line == 1
    assert diagnostic_of("no line", 3).line == 1

"""The guard of tenant Jinja: an attack corpus that must be refused, and daily dbt that must not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, nodes

from datanika.compiler.jinja_guard import check_plain, check_template, check_yml_value
from datanika.errors import GuardRefused
from tests.attacks.corpus import (
    BOMBS,
    BROKEN,
    ESCAPES_THE_LANGUAGE,
    REACHES_FILES,
    READS_THE_PROCESS,
    REWRITES_THE_PROJECT,
)

ALLOWED = [
    "select * from {{ ref('stg_orders') }}",
    "select * from {{ source('raw', 'orders') }} -- comment {# env_var('X') #}",
    "{{ config(materialized='incremental', unique_key=['a', 'b'], tags=['x']) }} select 1",
    "{% if is_incremental() %} where a > (select max(a) from {{ this }}) {% endif %}",
    "{% set columns = ['a', 'b'] %}select {% for c in columns %}sum({{ c }}) as {{ c }}_sum"
    "{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% set rates = {'eur': 1.1} %}{% for k, v in rates.items() %}{{ k }} {{ v }}{% endfor %}",
    "{% for i in range(1, 13) %}{{ i }}{% if i > 6 %}{% break %}{% endif %}{% endfor %}",
    "{% set columns = none %}{{ columns | default(['a'], true) | join(', ') }}",
    "{{ dbt.date_trunc('month', 'created_at') }} {{ dbt.type_timestamp() }}",
    "{% if target.name == 'dev' and var('limit', 10) is not none %}limit 10{% endif %}",
    "{% set text %}a{% endset %}{{ text | trim }}",
    "{{ this.schema }}.{{ this.identifier }}",
    "{{ (['a', 'b'])[0] }} {{ ['a', 'b'][1:] | length }}",
    "{{ 'a' ~ 1 + 2 - 1 }} {{ -1 if execute else 2 }}",
    "select '100%' as percent, '{' as brace",
]


@pytest.mark.parametrize(
    "text",
    [
        *READS_THE_PROCESS,
        *REACHES_FILES,
        *ESCAPES_THE_LANGUAGE,
        *REWRITES_THE_PROJECT,
        *BOMBS,
        *BROKEN,
    ],
    ids=lambda text: text[:50],
)
def test_the_attack_is_refused(text):
    with pytest.raises(GuardRefused) as caught:
        check_template(text, field="transformations.x.sql")
    assert caught.value.field == "transformations.x.sql"


@pytest.mark.parametrize("text", ALLOWED, ids=lambda text: text[:50])
def test_daily_dbt_is_allowed(text):
    check_template(text, field="x")


@pytest.mark.parametrize(
    "text",
    [
        "{% macro cents(column) %}{{ column }} / 100{% endmacro %}",
        "{# why #}\n{% macro a(x, y=1) %}{{ b(x) }}{{ ref('z') }}{% endmacro %}\n",
    ],
)
def test_a_macro_file_may_define_macros(text):
    check_template(text, field="x", macros={"a", "b"}, defines_macros=True)
    with pytest.raises(GuardRefused):
        check_template(text, field="x", macros={"a", "b"})


@pytest.mark.parametrize(
    "text",
    [
        "{% macro a() %}{{ env_var('X') }}{% endmacro %}",
        "{% macro a() %}{{ varargs[0] }}{% endmacro %}",
        "{% macro a(x=env_var('X')) %}{% endmacro %}",
        "{% macro a(x) %}{{ x() }}{% endmacro %}",
        "{% macro a(x) %}{{ x.render() }}{% endmacro %}",
        "{% macro a(ref) %}{{ ref('x') }}{% endmacro %}",
        "{% macro a() %}{{ stranger() }}{% endmacro %}",
        "select 1 {% macro a() %}{% endmacro %}",
        "{% set x = 1 %}{% macro a() %}{% endmacro %}",
    ],
)
def test_an_attack_inside_a_macro_is_refused(text):
    with pytest.raises(GuardRefused):
        check_template(text, field="x", macros={"a"}, defines_macros=True)


def test_the_refusal_names_the_line():
    with pytest.raises(GuardRefused) as caught:
        check_template("select 1\n\n  , {{ env_var('X') }}", field="x")
    assert caught.value.context["line"] == 3
    assert "Line 3" in caught.value.message
    assert "env_var" in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        "env_var('X')",
        " env_var ( 'X' ) ",
        "env_var(\n'X')",
        "doc('x')",
        "{{ env_var('X') }}",
        "{% raw %}",
        ["fine", {"where": "{{ env_var('X') }}"}],
        {"{{ env_var('X') }}": 1},
        "ref(env_var('X'))",
        "ref('a') ~ env_var('X')",
        "var(env_var('X'))",
    ],
)
def test_strings_that_dbt_would_render_in_yml_are_refused(value):
    with pytest.raises(GuardRefused):
        check_yml_value(value, field="x")


@pytest.mark.parametrize(
    "value",
    ["ref('airports')", "source('raw', 'x')", "total (usd)", "count(*)", ["a", 1], None, 1.5],
)
def test_plain_test_arguments_are_allowed(value):
    check_yml_value(value, field="x")


def test_jinja_in_a_description_is_refused():
    check_plain("100 % of {these} people", field="x")
    with pytest.raises(GuardRefused):
        check_plain("see {{ doc('x') }}", field="x")


@given(text=st.text(alphabet="{}%#'\"()[]._ |abrefnv\n", max_size=80))
def test_any_text_is_allowed_or_refused_and_never_breaks_the_guard(text):
    try:
        check_template(text, field="x")
    except GuardRefused as error:
        assert error.field == "x"


NAMES = st.sampled_from(
    ["ref", "source", "env_var", "run_query", "modules", "this", "x", "builtins"]
)


@given(path=st.lists(NAMES, min_size=1, max_size=4), called=st.booleans())
def test_no_chain_of_names_reaches_beyond_the_allow_list(path, called):
    text = "{{ " + ".".join(path) + ("('a', 'b')" if called else "") + " }}"
    try:
        tree = check_template(text, field="x")
    except GuardRefused:
        return
    names = {name.name for name in tree.find_all(nodes.Name)}
    assert names <= {"ref", "source", "this"}
    assert Environment().parse(text) is not None

{# Generic tests under the names of dbt_expectations: a test selects the rows that are wrong. #}

{% macro dx_where(row_condition) -%}
{%- if row_condition is not none %} where {{ row_condition }}{% endif -%}
{%- endmacro %}

{% macro dx_outside(value, min_value, max_value, strictly) -%}
(false
{%- if min_value is not none %} or {{ value }} {{ '<=' if strictly else '<' }} {{ min_value }}{% endif -%}
{%- if max_value is not none %} or {{ value }} {{ '>=' if strictly else '>' }} {{ max_value }}{% endif -%}
)
{%- endmacro %}

{% macro dx_unlike(value, regex) -%}
{%- set pattern = regex | replace("'", "''") -%}
{%- if target.type == 'duckdb' -%}
not regexp_matches(cast({{ value }} as varchar), '{{ pattern }}')
{%- else -%}
cast({{ value }} as text) !~ '{{ pattern }}'
{%- endif -%}
{%- endmacro %}

{% macro dx_listed(values, quoted) -%}
{%- for value in values -%}
{{ "'" ~ (value | string | replace("'", "''")) ~ "'" if quoted else value }}{{ ', ' if not loop.last }}
{%- endfor -%}
{%- endmacro %}

{% macro dx_aggregate(model, expression, min_value, max_value, strictly, row_condition) -%}
select value_seen
from (select {{ expression }} as value_seen from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as seen
where value_seen is null or {{ dbt_expectations.dx_outside('value_seen', min_value, max_value, strictly) }}
{%- endmacro %}

{% test expect_column_values_to_be_between(model, column_name, min_value=none, max_value=none, row_condition=none, strictly=false) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where {{ dbt_expectations.dx_outside(column_name, min_value, max_value, strictly) }}
{% endtest %}

{% test expect_column_values_to_match_regex(model, column_name, regex, row_condition=none) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where {{ column_name }} is not null and {{ dbt_expectations.dx_unlike(column_name, regex) }}
{% endtest %}

{% test expect_column_values_to_not_match_regex(model, column_name, regex, row_condition=none) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where {{ column_name }} is not null and not ({{ dbt_expectations.dx_unlike(column_name, regex) }})
{% endtest %}

{% test expect_column_values_to_be_in_set(model, column_name, value_set, quote_values=true, row_condition=none) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where {{ column_name }} is not null
    and {{ column_name }} not in ({{ dbt_expectations.dx_listed(value_set, quote_values) }})
{% endtest %}

{% test expect_column_values_to_not_be_in_set(model, column_name, value_set, quote_values=true, row_condition=none) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where {{ column_name }} in ({{ dbt_expectations.dx_listed(value_set, quote_values) }})
{% endtest %}

{% test expect_column_values_to_not_be_null(model, column_name, row_condition=none) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where {{ column_name }} is null
{% endtest %}

{% test expect_column_values_to_be_null(model, column_name, row_condition=none) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where {{ column_name }} is not null
{% endtest %}

{% test expect_column_values_to_be_unique(model, column_name, row_condition=none) %}
select {{ column_name }}, count(*) as n_rows
from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}
group by {{ column_name }}
having count(*) > 1 and {{ column_name }} is not null
{% endtest %}

{% test expect_column_value_lengths_to_be_between(model, column_name, min_value=none, max_value=none, row_condition=none, strictly=false) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where {{ dbt_expectations.dx_outside('length(' ~ column_name ~ ')', min_value, max_value, strictly) }}
{% endtest %}

{% test expect_column_value_lengths_to_equal(model, column_name, value, row_condition=none) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where length({{ column_name }}) <> {{ value }}
{% endtest %}

{% test expect_column_pair_values_a_to_be_greater_than_b(model, column_A, column_B, or_equal=false, row_condition=none) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where not ({{ column_A }} {{ '>=' if or_equal else '>' }} {{ column_B }})
{% endtest %}

{% test expect_compound_columns_to_be_unique(model, column_list, row_condition=none) %}
select {{ column_list | join(', ') }}, count(*) as n_rows
from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}
group by {{ column_list | join(', ') }}
having count(*) > 1
{% endtest %}

{% test expect_table_row_count_to_be_between(model, min_value=none, max_value=none, row_condition=none, strictly=false) %}
{{ dbt_expectations.dx_aggregate(model, 'count(*)', min_value, max_value, strictly, row_condition) }}
{% endtest %}

{% test expect_table_row_count_to_equal(model, value, row_condition=none) %}
{{ dbt_expectations.dx_aggregate(model, 'count(*)', value, value, false, row_condition) }}
{% endtest %}

{% test expect_table_row_count_to_equal_other_table(model, compare_model) %}
select here.n as n_here, there.n as n_there
from (select count(*) as n from {{ model }}) as here
cross join (select count(*) as n from {{ compare_model }}) as there
where here.n <> there.n
{% endtest %}

{% test expect_column_max_to_be_between(model, column_name, min_value=none, max_value=none, row_condition=none, strictly=false) %}
{{ dbt_expectations.dx_aggregate(model, 'max(' ~ column_name ~ ')', min_value, max_value, strictly, row_condition) }}
{% endtest %}

{% test expect_column_min_to_be_between(model, column_name, min_value=none, max_value=none, row_condition=none, strictly=false) %}
{{ dbt_expectations.dx_aggregate(model, 'min(' ~ column_name ~ ')', min_value, max_value, strictly, row_condition) }}
{% endtest %}

{% test expect_column_mean_to_be_between(model, column_name, min_value=none, max_value=none, row_condition=none, strictly=false) %}
{{ dbt_expectations.dx_aggregate(model, 'avg(' ~ column_name ~ ')', min_value, max_value, strictly, row_condition) }}
{% endtest %}

{% test expect_column_sum_to_be_between(model, column_name, min_value=none, max_value=none, row_condition=none, strictly=false) %}
{{ dbt_expectations.dx_aggregate(model, 'sum(' ~ column_name ~ ')', min_value, max_value, strictly, row_condition) }}
{% endtest %}

{% test expect_column_unique_value_count_to_be_between(model, column_name, min_value=none, max_value=none, row_condition=none, strictly=false) %}
{{ dbt_expectations.dx_aggregate(model, 'count(distinct ' ~ column_name ~ ')', min_value, max_value, strictly, row_condition) }}
{% endtest %}

{% test expect_column_to_exist(model, column_name) %}
{%- set names = [] -%}
{%- if execute -%}
    {%- for column in adapter.get_columns_in_relation(model) -%}{%- do names.append(column.name | lower) -%}{%- endfor -%}
{%- endif -%}
select 1 as missing where {{ 'false' if not execute or column_name | lower in names else 'true' }}
{% endtest %}

{% test expect_table_columns_to_contain_set(model, column_list) %}
{%- set names = [] -%}
{%- set missing = [] -%}
{%- if execute -%}
    {%- for column in adapter.get_columns_in_relation(model) -%}{%- do names.append(column.name | lower) -%}{%- endfor -%}
    {%- for name in column_list if name | lower not in names -%}{%- do missing.append(name) -%}{%- endfor -%}
{%- endif -%}
select {{ missing | length }} as n_missing where {{ 'true' if missing else 'false' }}
{% endtest %}

{% test expect_row_values_to_have_recent_data(model, column_name, datepart, interval, row_condition=none) %}
select newest
from (select max(cast({{ column_name }} as timestamp)) as newest from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as ages
where newest is null
    or newest < {{ dbt.dateadd(datepart, interval * -1, 'cast(current_timestamp as timestamp)') }}
{% endtest %}

{% test expression_is_true(model, expression, row_condition=none) %}
select * from (select * from {{ model }}{{ dbt_expectations.dx_where(row_condition) }}) as chosen
where not coalesce(({{ expression }}), false)
{% endtest %}

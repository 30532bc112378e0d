{# Generic tests under the names of dbt_utils: a test selects the rows that are wrong. #}

{% test unique_combination_of_columns(model, combination_of_columns, quote_columns=false) %}
{%- set names = [] -%}
{%- for name in combination_of_columns -%}
    {%- do names.append(adapter.quote(name) if quote_columns else name) -%}
{%- endfor -%}
select {{ names | join(', ') }}, count(*) as n_rows
from {{ model }}
group by {{ names | join(', ') }}
having count(*) > 1
{% endtest %}

{% test expression_is_true(model, expression, column_name=none) %}
select *
from {{ model }}
where not coalesce(({{ column_name if column_name is not none else '' }} {{ expression }}), false)
{% endtest %}

{% test not_empty_string(model, column_name, trim_whitespace=true) %}
select *
from {{ model }}
where {{ 'trim(' ~ column_name ~ ')' if trim_whitespace else column_name }} = ''
{% endtest %}

{% test accepted_range(model, column_name, min_value=none, max_value=none, inclusive=true) %}
select *
from {{ model }}
where false
{%- if min_value is not none %}
    or {{ column_name }} {{ '<' if inclusive else '<=' }} {{ min_value }}
{%- endif %}
{%- if max_value is not none %}
    or {{ column_name }} {{ '>' if inclusive else '>=' }} {{ max_value }}
{%- endif %}
{% endtest %}

{% test recency(model, field, datepart, interval, ignore_time_component=false) %}
{%- set moment = 'cast(max(' ~ field ~ ') as timestamp)' -%}
{%- set oldest = dbt.dateadd(datepart, interval * -1, 'cast(current_timestamp as timestamp)') -%}
{%- if ignore_time_component -%}
    {%- set moment = 'cast(max(' ~ field ~ ') as date)' -%}
    {%- set oldest = 'cast(' ~ oldest ~ ' as date)' -%}
{%- endif -%}
select newest
from (select {{ moment }} as newest from {{ model }}) as ages
where newest is null or newest < {{ oldest }}
{% endtest %}

{% test equal_rowcount(model, compare_model) %}
select here.n as n_here, there.n as n_there
from (select count(*) as n from {{ model }}) as here
cross join (select count(*) as n from {{ compare_model }}) as there
where here.n <> there.n
{% endtest %}

{% test fewer_rows_than(model, compare_model) %}
select here.n as n_here, there.n as n_there
from (select count(*) as n from {{ model }}) as here
cross join (select count(*) as n from {{ compare_model }}) as there
where here.n >= there.n
{% endtest %}

{% test equality(model, compare_model, compare_columns=none, exclude_columns=none) %}
{%- set names = compare_columns -%}
{%- if names is none and execute -%}
    {%- set left_out = [] -%}
    {%- for name in (exclude_columns or []) -%}{%- do left_out.append(name | lower) -%}{%- endfor -%}
    {%- set names = [] -%}
    {%- for column in adapter.get_columns_in_relation(model) if column.name | lower not in left_out -%}
        {%- do names.append(column.quoted) -%}
    {%- endfor -%}
{%- endif -%}
{%- set wanted = (names or ['1 as nothing']) | join(', ') -%}
(select 'missing there' as problem, rest.* from
    (select {{ wanted }} from {{ model }} except select {{ wanted }} from {{ compare_model }}) as rest)
union all
(select 'missing here' as problem, rest.* from
    (select {{ wanted }} from {{ compare_model }} except select {{ wanted }} from {{ model }}) as rest)
{% endtest %}

{% test at_least_one(model, column_name) %}
select count(*) as n_rows
from {{ model }}
having count({{ column_name }}) = 0
{% endtest %}

{% test not_constant(model, column_name) %}
select count(distinct {{ column_name }}) as n_values
from {{ model }}
having count(distinct {{ column_name }}) = 1
{% endtest %}

{% test not_null_proportion(model, column_name, at_least, at_most=1.0) %}
select share
from (
    select count({{ column_name }}) * 1.0 / nullif(count(*), 0) as share from {{ model }}
) as shares
where share < {{ at_least }} or share > {{ at_most }}
{% endtest %}

{% test not_accepted_values(model, column_name, values, quote=true) %}
select *
from {{ model }}
where {{ column_name }} in (
    {%- for value in values -%}
    {{ dbt.string_literal(value | string | replace("'", "''")) if quote else value }}
    {%- if not loop.last %}, {% endif -%}
    {%- endfor -%}
)
{% endtest %}

{% test cardinality_equality(model, column_name, field, to) %}
select coalesce(here.n, 0) as n_here, coalesce(there.n, 0) as n_there
from (select {{ column_name }} as v, count(*) as n from {{ model }} group by 1) as here
full join (select {{ field }} as v, count(*) as n from {{ to }} group by 1) as there
    on here.v = there.v
where coalesce(here.n, 0) <> coalesce(there.n, 0)
{% endtest %}

{% test relationships_where(model, column_name, to, field, from_condition='1=1', to_condition='1=1') %}
select child.v
from (select {{ column_name }} as v from {{ model }} where {{ from_condition }}) as child
left join (select {{ field }} as v from {{ to }} where {{ to_condition }}) as parent
    on child.v = parent.v
where child.v is not null and parent.v is null
{% endtest %}

{% test sequential_values(model, column_name, interval=1, datepart=none) %}
{%- set next = dbt.dateadd(datepart, interval, 'earlier') if datepart else 'earlier + ' ~ interval -%}
select earlier, v
from (
    select {{ column_name }} as v, lag({{ column_name }}) over (order by {{ column_name }}) as earlier
    from {{ model }}
) as pairs
where earlier is not null and v <> {{ next }}
{% endtest %}

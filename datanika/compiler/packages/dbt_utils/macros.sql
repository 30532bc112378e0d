{# Macros under the names of dbt_utils: they return SQL. Where nothing may be asked of the
   warehouse (compile, preview) they answer as for an empty one: star is *, a list is empty. #}

{% macro generate_surrogate_key(field_list) -%}
{%- set parts = [] -%}
{%- for field in field_list -%}
    {%- do parts.append("coalesce(cast(" ~ field ~ " as " ~ dbt.type_string() ~ "), '_dbt_utils_surrogate_key_null_')") -%}
    {%- if not loop.last -%}{%- do parts.append("'-'") -%}{%- endif -%}
{%- endfor -%}
{{ dbt.hash(dbt.concat(parts)) }}
{%- endmacro %}

{% macro surrogate_key(field_list) -%}
{{ dbt_utils.generate_surrogate_key(field_list) }}
{%- endmacro %}

{% macro get_filtered_columns_in_relation(from, except=[]) -%}
{%- set names = [] -%}
{%- if execute and flags.INTROSPECT -%}
    {%- set left_out = [] -%}
    {%- for name in except -%}{%- do left_out.append(name | lower) -%}{%- endfor -%}
    {%- for column in adapter.get_columns_in_relation(from) -%}
        {%- if column.name | lower not in left_out -%}{%- do names.append(column.name) -%}{%- endif -%}
    {%- endfor -%}
{%- endif -%}
{{ return(names) }}
{%- endmacro %}

{% macro star(from, relation_alias=false, except=[], prefix='', suffix='', quote_identifiers=true) -%}
{%- set names = dbt_utils.get_filtered_columns_in_relation(from, except) -%}
{%- if not names -%}
*
{%- endif -%}
{%- for name in names -%}
    {%- if relation_alias -%}{{ relation_alias }}.{%- endif -%}
    {{ adapter.quote(name) if quote_identifiers else name }}
    {%- if prefix or suffix %} as {{ adapter.quote(prefix ~ name ~ suffix) if quote_identifiers else prefix ~ name ~ suffix }}{%- endif -%}
    {%- if not loop.last %}, {% endif -%}
{%- endfor -%}
{%- endmacro %}

{% macro get_column_values(table, column, order_by='count(*) desc', max_records=none, default=none, where=none) -%}
{%- set values = [] -%}
{%- if execute and flags.INTROSPECT -%}
    {%- set query -%}
select {{ column }} as value from {{ table }}
{% if where %}where {{ where }}{% endif %}
group by {{ column }} order by {{ order_by }}
{% if max_records is not none %}limit {{ max_records }}{% endif %}
    {%- endset -%}
    {%- for row in run_query(query).rows -%}{%- do values.append(row[0]) -%}{%- endfor -%}
{%- endif -%}
{{ return(values or default or []) }}
{%- endmacro %}

{% macro pivot(column, values, alias=true, agg='sum', cmp='=', prefix='', suffix='', then_value=1, else_value=0, quote_identifiers=true, distinct=false) -%}
{%- for value in values %}
{{ agg }}({{ 'distinct ' if distinct }}case when {{ column }} {{ cmp }} '{{ dbt.escape_single_quotes(value | string) }}' then {{ then_value }} else {{ else_value }} end)
{%- if alias %} as {{ adapter.quote(prefix ~ value ~ suffix) if quote_identifiers else prefix ~ value ~ suffix }}{% endif -%}
{%- if not loop.last %},{% endif -%}
{%- endfor -%}
{%- endmacro %}

{% macro union_relations(relations, column_override={}, include=[], exclude=[], source_column_name='_dbt_source_relation', where=none) -%}
{%- set names = {} -%}
{%- set own = [] -%}
{%- set left_out = [] -%}
{%- set kept = [] -%}
{%- for name in exclude -%}{%- do left_out.append(name | lower) -%}{%- endfor -%}
{%- for name in include -%}{%- do kept.append(name | lower) -%}{%- endfor -%}
{%- if execute and flags.INTROSPECT -%}
    {%- for relation in relations -%}
        {%- set here = [] -%}
        {%- for column in adapter.get_columns_in_relation(relation) -%}
            {%- if column.name | lower not in left_out and (not kept or column.name | lower in kept) -%}
                {%- do here.append(column.name) -%}
                {%- if column.name not in names -%}{%- do names.update({column.name: column_override.get(column.name, column.data_type)}) -%}{%- endif -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do own.append(here) -%}
    {%- endfor -%}
{%- endif -%}
{%- for relation in relations %}
select
    {%- if source_column_name is not none %}
    cast('{{ relation | string | replace("'", "''") }}' as {{ dbt.type_string() }}) as {{ source_column_name }}{{ ',' if names or not execute }}
    {%- endif %}
    {%- if not names %} * {% endif -%}
    {%- set number = loop.index0 -%}
    {%- for name, kind in names.items() %}
    cast({{ adapter.quote(name) if name in own[number] else 'null' }} as {{ kind }}) as {{ adapter.quote(name) }}{{ ',' if not loop.last }}
    {%- endfor %}
from {{ relation }}
{%- if where %}
where {{ where }}
{%- endif %}
{%- if not loop.last %}
union all
{%- endif -%}
{%- endfor -%}
{%- endmacro %}

{% macro unpivot(relation, cast_to='varchar', exclude=[], remove=[], field_name='field_name', value_name='value') -%}
{%- set apart = [] -%}
{%- for name in exclude + remove -%}{%- do apart.append(name | lower) -%}{%- endfor -%}
{%- set names = dbt_utils.get_filtered_columns_in_relation(relation, apart) -%}
{%- for name in names %}
select {% for kept in exclude %}{{ kept }}, {% endfor -%}
    cast('{{ name }}' as {{ dbt.type_string() }}) as {{ field_name }},
    cast({{ adapter.quote(name) }} as {{ cast_to }}) as {{ value_name }}
from {{ relation }}
{%- if not loop.last %}
union all
{%- endif -%}
{%- endfor -%}
{%- if not names %}select * from {{ relation }}{% endif -%}
{%- endmacro %}

{% macro generate_series(upper_bound) -%}
{%- set digits = namespace(n=1) -%}
{%- for _ in range(9) if 10 ** digits.n < upper_bound -%}{%- set digits.n = digits.n + 1 -%}{%- endfor -%}
with digit as (
    {% for value in range(10) %}select {{ value }} as d{% if not loop.last %} union all {% endif %}{% endfor %}
), number as (
    select 1 {% for place in range(digits.n) %} + d{{ place }}.d * {{ 10 ** place }}{% endfor %} as generated_number
    from {% for place in range(digits.n) %}digit as d{{ place }}{% if not loop.last %} cross join {% endif %}{% endfor %}
)
select generated_number from number where generated_number <= {{ upper_bound }}
{%- endmacro %}

{% macro date_spine(datepart, start_date, end_date) -%}
{%- set count = 0 -%}
{%- if execute and flags.INTROSPECT -%}
    {%- set query %}select {{ dbt.datediff(start_date, end_date, datepart) }}{% endset -%}
    {%- set count = run_query(query).rows[0][0] | int -%}
{%- endif -%}
with spine as (
    {{ dbt_utils.generate_series([count, 1] | max) }}
), moment as (
    select {{ dbt.dateadd(datepart, 'cast(generated_number as integer) - 1', start_date) }} as date_{{ datepart }}
    from spine
)
select date_{{ datepart }} from moment where date_{{ datepart }} < {{ end_date }}
{%- endmacro %}

{% macro group_by(n) -%}
group by {% for number in range(1, n + 1) %}{{ number }}{{ ', ' if not loop.last }}{% endfor %}
{%- endmacro %}

{% macro deduplicate(relation, partition_by, order_by) -%}
{%- set names = dbt_utils.get_filtered_columns_in_relation(relation) if relation is not string else [] -%}
select {% if names %}{% for name in names %}{{ adapter.quote(name) }}{{ ', ' if not loop.last }}{% endfor %}{% else %}*{% endif %}
from (
    select rows_of.*, row_number() over (partition by {{ partition_by }} order by {{ order_by }}) as _place
    from {{ relation }} as rows_of
) as placed
where _place = 1
{%- endmacro %}

{% macro safe_divide(numerator, denominator) -%}
( {{ numerator }} ) / nullif( ( {{ denominator }} ), 0)
{%- endmacro %}

{% macro safe_add(field_list) -%}
{% for field in field_list %}coalesce({{ field }}, 0){{ ' + ' if not loop.last }}{% endfor %}
{%- endmacro %}

{% macro safe_subtract(field_list) -%}
{% for field in field_list %}coalesce({{ field }}, 0){{ ' - ' if not loop.last }}{% endfor %}
{%- endmacro %}

{% macro slugify(text) -%}
{{ return(modules.re.sub('^([0-9])', '_\\1', modules.re.sub('[^a-z0-9_]+', '', modules.re.sub('[ -]+', '_', text | lower)))) }}
{%- endmacro %}

{% macro width_bucket(expr, min_value, max_value, num_buckets) -%}
case
    when {{ expr }} < {{ min_value }} then 0
    when {{ expr }} >= {{ max_value }} then {{ num_buckets }} + 1
    else cast(floor(({{ expr }} - {{ min_value }}) * {{ num_buckets }} * 1.0 / ({{ max_value }} - {{ min_value }})) as integer) + 1
end
{%- endmacro %}

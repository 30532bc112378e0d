"""A dbt project of the size of a tutorial's, with everything that a project may have."""

from __future__ import annotations

PROJECT = """\
name: shop
version: "1.0"
config-version: 2
profile: shop
model-paths: ["models"]
vars:
  shop:
    cents: 100
  start_date: "2026-01-01"
models:
  +tags: nightly
  shop:
    staging:
      +materialized: view
      +schema: staging
    marts:
      +materialized: table
      +meta: {team: finance}
seeds:
  shop:
    +schema: raw
    raw_orders:
      +column_types: {amount_cents: bigint, ordered_at: timestamp}
      +delimiter: ";"
"""

STAGING_YML = """\
version: 2
sources:
  - name: shop_raw
    schema: events
    description: What the shop sends.
    config:
      loaded_at_field: seen_at
      freshness: {warn_after: {count: 1, period: hour}, error_after: {count: 36500, period: day}}
    tables:
      - name: clicks
        identifier: raw_clicks
        columns:
          - name: id
            data_tests: [unique, not_null]
models:
  - name: stg_orders
    config: {event_time: ordered_at}
    description: "{{ doc('orders') }}"
    columns:
      - name: order_id
        description: The key.
        data_tests:
          - unique
          - not_null
          - relationships:
              arguments: {to: "ref('raw_orders')", field: id}
      - name: status
        data_tests:
          - accepted_values: {arguments: {values: [placed, shipped]}, config: {severity: warn}}
          - dbt_utils.not_empty_string
          - dbt_expectations.expect_column_values_to_match_regex: {arguments: {regex: "^[a-z]+$"}}
      - name: amount
        data_tests:
          - is_positive
          - dbt_utils.accepted_range: {arguments: {min_value: 0, max_value: 1000}}
          - dbt_expectations.expect_column_max_to_be_between:
              arguments: {max_value: 5}
              config: {severity: warn}
    data_tests:
      - dbt_utils.unique_combination_of_columns:
          arguments: {combination_of_columns: [order_id, customer_id]}
      - dbt_utils.equal_rowcount: {arguments: {compare_model: "ref('raw_orders')"}}
      - dbt_utils.expression_is_true: {arguments: {expression: "amount >= 0"}}
      - dbt_utils.recency:
          arguments: {datepart: day, field: ordered_at, interval: 36500}
      - dbt_expectations.expect_table_row_count_to_be_between:
          arguments: {min_value: 1, max_value: 100}
"""

MARTS_YML = """\
version: 2
models:
  - name: customers
    config:
      contract: {enforced: true}
      tags: [weekly]
    columns:
      - name: customer_id
        data_type: integer
        constraints: [{type: not_null}, {type: primary_key}]
      - name: n_orders
        data_type: bigint
        meta: {unit: orders}
      - name: total
        data_type: numeric
  - name: orders_appended
    columns:
      - name: status
        data_tests: [{accepted_values: {arguments: {values: [placed]}}}]
unit_tests:
  - name: cents_become_money
    model: stg_orders
    given:
      - input: ref('raw_orders')
        rows:
          - {id: 1, customer_id: 7, status: placed, amount_cents: 250, ordered_at: "2026-01-01"}
          - {id: 2, customer_id: 7, status: placed, amount_cents: 50, ordered_at: "2026-01-02"}
    expect:
      rows:
        - {order_id: 1, amount: 2.5}
        - {order_id: 2, amount: 0.5}
  - name: all_days_at_first
    model: orders_by_day
    overrides: {macros: {is_incremental: false}, vars: {start_date: x}}
    given:
      - input: ref('stg_orders')
        format: csv
        rows: |
          order_id,amount,ordered_at
          1,1.5,2026-01-01
          2,2.5,2026-01-03
    expect:
      format: csv
      rows: |
        day,n_orders
        2026-01-01,1
        2026-01-03,1
exposures:
  - name: weekly_report
    label: The weekly report
    type: dashboard
    maturity: high
    url: https://bi.example.com/1
    description: Who buys.
    owner: {name: Finance, email: finance@example.com}
    depends_on: [ref('customers'), "source('shop_raw', 'clicks')"]
snapshots:
  - name: statuses_checked
    relation: ref('stg_orders')
    config:
      strategy: check
      check_cols: [status]
      unique_key: order_id
      schema: history
      hard_deletes: invalidate
"""

FILES = {
    "dbt_project.yml": PROJECT,
    "packages.yml": "packages:\n  - package: dbt-labs/dbt_utils\n    version: 1.3.0\n"
    "  - package: metaplane/dbt_expectations\n    version: 0.10.0\n",
    "models/docs.md": "{% docs orders %}One row an order.{% enddocs %}\n",
    "models/staging/stg.yml": STAGING_YML,
    "models/marts/marts.yml": MARTS_YML,
    "models/staging/stg_orders.sql": """\
with orders as (
    select * from {{ ref('raw_orders') }}
)
select
    id as order_id,
    customer_id,
    status,
    cast({{ to_money('amount_cents') }} as double precision) as amount,
    ordered_at
from orders
""",
    "models/marts/customers.sql": """\
{{ config(
    materialized='table'
) }}
select
    cast(customer_id as integer) as customer_id,
    count(*) as n_orders,
    cast(sum(amount) as numeric) as total
from {{ ref('stg_orders') }}
group by 1
""",
    "models/marts/orders_by_day.sql": """\
{{ config(materialized='incremental', unique_key='day', incremental_strategy='delete+insert') }}
select cast(ordered_at as date) as day, count(*) as n_orders
from {{ ref('stg_orders') }}
{% if is_incremental() %}
where cast(ordered_at as date) > (select max(day) from {{ this }})
{% endif %}
group by 1
""",
    "models/marts/orders_merged.sql": """\
{{ config(materialized='incremental', unique_key='order_id', incremental_strategy='merge',
          merge_update_columns=['status'], on_schema_change='append_new_columns') }}
select order_id, status, amount from {{ ref('stg_orders') }}
""",
    "models/marts/orders_appended.sql": """\
{{ config(materialized='incremental', incremental_strategy='append') }}
select order_id, status from {{ ref('stg_orders') }}
{% if is_incremental() %} where order_id > (select max(order_id) from {{ this }}) {% endif %}
""",
    "models/marts/orders_in_batches.sql": """\
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='ordered_at',
          begin='2026-01-01', batch_size='month', lookback=1, unique_key='order_id') }}
select order_id, ordered_at from {{ ref('stg_orders') }}
""",
    "models/marts/clicks_by_day.sql": """\
select {{ dbt_utils.generate_surrogate_key(['id', 'page']) }} as click_key,
    {{ dbt_utils.star(from=ref('stg_orders'), except=['amount'], relation_alias='o') }}
from {{ source('shop_raw', 'clicks') }} as c
join {{ ref('stg_orders') }} as o on o.order_id = c.id
where {{ only_recent('c.seen_at') }}
""",
    "models/marts/by_status.sql": """\
{{ config(materialized='table') }}
{% set statuses = dbt_utils.get_column_values(ref('stg_orders'), 'status', order_by='status') %}
select customer_id
{%- for status in statuses %}
    , sum(case when status = '{{ status }}' then amount end) as {{ status }}_amount
{%- endfor %}
from {{ ref('only_paid') }}
group by 1
""",
    "models/marts/only_paid.sql": "{{ config(materialized='ephemeral') }}\n"
    "select * from {{ ref('stg_orders') }} where amount > 0\n",
    "models/marts/days.sql": "{{ config(materialized='table', alias='calendar') }}\n"
    "{{ dbt_utils.date_spine('day', \"cast('2026-01-01' as date)\", \"cast('2026-01-15' as date)\")"
    " }}\n",
    "models/marts/switched_off.sql": "{{ config(enabled=false) }}\nselect 1 as a\n",
    "seeds/raw_orders.csv": "id;customer_id;status;amount_cents;ordered_at\n"
    "1;7;placed;250;2026-01-01\n2;7;shipped;150;2026-01-02\n3;8;placed;990;2026-02-03\n",
    "seeds/countries.csv": "code,name\nGR,Greece\nCY,Cyprus\n",
    "snapshots/orders_history.sql": """\
{% snapshot orders_history %}
{{ config(strategy='timestamp', updated_at='ordered_at', unique_key='order_id',
          schema='history') }}
select * from {{ ref('stg_orders') }}
{% endsnapshot %}
""",
    "macros/money.sql": """\
{# cents are whole #}
{% macro to_money(column) -%}
    {{ column }} / {{ var('cents') }}.0
{%- endmacro %}

{% macro only_recent(column) %}{{ column }} >= cast('{{ var("start_date") }}' as date){% endmacro %}
""",
    "tests/generic/positive.sql": "{% test is_positive(model, column_name) %}\n"
    "select * from {{ model }} where {{ column_name }} <= 0\n{% endtest %}\n",
    "tests/no_order_is_huge.sql": "{{ config(severity='warn', store_failures=true) }}\n"
    "select * from {{ ref('stg_orders') }} where amount > 9\n",
}
"""Sources: events.raw_clicks(id, page, seen_at)."""

LATER_SEED = (
    "id;customer_id;status;amount_cents;ordered_at\n"
    "1;7;shipped;250;2026-03-01\n2;7;shipped;150;2026-01-02\n4;9;placed;120;2026-03-05\n"
)
"""raw_orders on another day: 1 changed, 3 is gone, 4 is new."""

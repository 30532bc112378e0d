-- No mart may lose a flight or count one twice.
with totals as (
    select
        (select count(*) from {{ ref('stg_flights') }}) as flights,
        (select sum(flights) from {{ ref('delay_by_carrier_month') }}) as by_carrier,
        (select sum(flights) from {{ ref('route_punctuality') }}) as by_route,
        (select sum(flights) from {{ ref('daily_departures') }}) as by_day
)

select *
from totals
where by_carrier <> flights or by_route <> flights or by_day <> flights

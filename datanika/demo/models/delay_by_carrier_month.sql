-- How late each airline is, month by month. Cancelled flights count as flights, not as delays.
select
    flights.carrier,
    airlines.carrier_name,
    flights.year,
    flights.month,
    count(*) as flights,
    count(*) filter (where flights.is_cancelled) as cancelled,
    cast(avg(flights.departure_delay_minutes) as double precision) as avg_departure_delay,
    cast(avg(flights.arrival_delay_minutes) as double precision) as avg_arrival_delay,
    count(*) filter (where flights.arrival_delay_minutes > 15) as late_arrivals
from {{ ref('stg_flights') }} as flights
inner join {{ ref('stg_airlines') }} as airlines using (carrier)
group by 1, 2, 3, 4

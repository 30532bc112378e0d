-- How punctual each route is, by the weather at the origin in the hour of departure.
with classified as (
    select
        flights.origin,
        flights.destination,
        flights.is_cancelled,
        flights.arrival_delay_minutes,
        case
            when weather.time_hour is null then 'unknown'
            when weather.precipitation_inches > 0 then 'wet'
            when weather.visibility_miles < 3 then 'low visibility'
            when weather.wind_speed_mph >= 20 then 'windy'
            else 'fair'
        end as weather
    from {{ ref('stg_flights') }} as flights
    left join {{ ref('stg_weather') }} as weather
        on weather.origin = flights.origin
        and weather.time_hour = flights.time_hour
)

select
    classified.origin,
    classified.destination,
    airports.airport_name as destination_name,
    classified.weather,
    count(*) as flights,
    count(*) filter (where classified.is_cancelled) as cancelled,
    count(*) filter (where classified.arrival_delay_minutes <= 15) as on_time,
    cast(avg(classified.arrival_delay_minutes) as double precision) as avg_arrival_delay
from classified
left join {{ ref('stg_airports') }} as airports
    on airports.airport = classified.destination
group by 1, 2, 3, 4

select
    time_hour,
    cast(year as integer) as year,
    cast(month as integer) as month,
    make_date(cast(year as integer), cast(month as integer), cast(day as integer)) as flight_date,
    carrier,
    flight as flight_number,
    tailnum,
    origin,
    dest as destination,
    dep_delay as departure_delay_minutes,
    arr_delay as arrival_delay_minutes,
    distance as distance_miles,
    -- A flight that never left has no departure time.
    dep_time is null as is_cancelled
from {{ source('raw', 'flights') }}

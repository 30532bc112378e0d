select
    origin,
    time_hour,
    temp as temperature_f,
    -- One reading claims 1,048 miles an hour.
    case when wind_speed < 200 then wind_speed end as wind_speed_mph,
    precip as precipitation_inches,
    visib as visibility_miles
from {{ source('raw', 'weather') }}

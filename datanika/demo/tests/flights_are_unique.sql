-- The key that the load merges on.
select time_hour, carrier, flight_number
from {{ ref('stg_flights') }}
group by 1, 2, 3
having count(*) > 1

-- One row a day and airport. An incremental run works on the newest day and later ones only.
select
    flight_date,
    origin,
    count(*) as flights,
    count(*) filter (where is_cancelled) as cancelled,
    count(distinct tailnum) as planes
from {{ ref('stg_flights') }}
{% if is_incremental() %}
where flight_date >= (select max(flight_date) from {{ this }})
{% endif %}
group by 1, 2

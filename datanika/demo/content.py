"""What the demo asks of Datanika: a dbt project and a pipeline, as specifications."""

from __future__ import annotations

from importlib.resources import files

from datanika.contracts.enums import WriteDisposition
from datanika.contracts.schedule import ScheduleSpec
from datanika.contracts.spec import (
    ColumnSpec,
    IncrementalCursor,
    LoadStep,
    PipelineSpec,
    RetryPolicy,
    TableSpec,
    TransformationSpec,
    TransformStep,
)
from datanika.demo.dataset import FOLDER

ORGANIZATION = "Demo Airlines"
USER_NAME = "Demo User"
EMAIL = "demo@example.com"
SOURCE = "nyc_files"
WAREHOUSE = "demo_warehouse"
PIPELINE = "nyc_flights"
DESCRIPTION = "Flights out of New York in 2013, with their weather."

RAW, STAGING, MARTS = "raw", "staging", "marts"
SCHEDULE = ScheduleSpec(cron="0 6 * * *", timezone="America/New_York")


def transformations(destination_id: int) -> tuple[TransformationSpec, ...]:
    """Five staging views, three marts and two singular tests."""
    return (
        *_staging(destination_id),
        *_marts(destination_id),
        *(
            TransformationSpec(
                name=name, kind="test", destination_id=destination_id, sql=_sql("tests", name)
            )
            for name in ("flights_are_unique", "marts_cover_every_flight")
        ),
    )


def pipeline(source_id: int, destination_id: int) -> PipelineSpec:
    """Load five files into ``raw``, then build and test everything that reads them."""
    return PipelineSpec(
        steps=(
            LoadStep(
                key="load_nyc",
                source_id=source_id,
                destination_id=destination_id,
                target_schema=RAW,
                tables=_tables(),
                retry=RetryPolicy(retries=2, delay_seconds=2, timeout_seconds=600),
            ),
            TransformStep(
                key="transform_nyc",
                depends_on=("load_nyc",),
                destination_id=destination_id,
                default_schema=STAGING,
                retry=RetryPolicy(retries=1, delay_seconds=2, timeout_seconds=600),
            ),
        )
    )


def _tables() -> tuple[TableSpec, ...]:
    """Small tables are replaced; flights and weather grow by their hour.

    Many rows share an hour, and the newest hour may still be filling up. So the cursor reads that
    hour again, and the merge on the key lets nothing arrive twice.
    """
    replaced = tuple(
        TableSpec(name=f"{FOLDER}/{name}.parquet", target=name)
        for name in ("airlines", "airports", "planes")
    )
    grown = tuple(
        TableSpec(
            name=f"{FOLDER}/{name}.parquet",
            target=name,
            write_disposition=WriteDisposition.MERGE,
            primary_key=key,
            cursor=IncrementalCursor(column="time_hour"),
        )
        for name, key in {
            "weather": ("time_hour", "origin"),
            "flights": ("time_hour", "carrier", "flight"),
        }.items()
    )
    return (*replaced, *grown)


def _staging(destination_id: int) -> tuple[TransformationSpec, ...]:
    columns = {
        "stg_airlines": (ColumnSpec(name="carrier", tests=("not_null", "unique")),),
        "stg_airports": (ColumnSpec(name="airport", tests=("not_null", "unique")),),
        "stg_planes": (ColumnSpec(name="tailnum", tests=("not_null", "unique")),),
        "stg_weather": (
            ColumnSpec(name="origin", tests=(_values("EWR", "JFK", "LGA"),)),
            ColumnSpec(name="time_hour", tests=("not_null",)),
        ),
        "stg_flights": (
            ColumnSpec(name="time_hour", description="Scheduled hour, UTC.", tests=("not_null",)),
            ColumnSpec(name="origin", tests=(_values("EWR", "JFK", "LGA"),)),
            ColumnSpec(name="carrier", tests=(_relationship("stg_airlines", "carrier"),)),
            ColumnSpec(
                name="destination",
                description="Four airports outside the mainland are not in the airports file.",
                tests=(_relationship("stg_airports", "airport", severity="warn"),),
            ),
        ),
    }
    return tuple(
        TransformationSpec(
            name=name,
            destination_id=destination_id,
            sql=_sql("models", name),
            target_schema=STAGING,
            tags=("staging",),
            columns=described,
        )
        for name, described in columns.items()
    )


def _marts(destination_id: int) -> tuple[TransformationSpec, ...]:
    def mart(
        name: str,
        description: str,
        columns: tuple[ColumnSpec, ...],
        unique_key: tuple[str, ...] = (),
    ) -> TransformationSpec:
        return TransformationSpec(
            name=name,
            destination_id=destination_id,
            sql=_sql("models", name),
            materialization="incremental" if unique_key else "table",
            unique_key=unique_key,
            target_schema=MARTS,
            description=description,
            tags=("marts",),
            columns=columns,
        )

    return (
        mart(
            "delay_by_carrier_month",
            "Delays and cancellations of each airline by month.",
            (
                ColumnSpec(name="carrier", tests=("not_null",)),
                ColumnSpec(name="month", tests=(_values(*range(1, 13)),)),
                ColumnSpec(name="flights", description="Cancelled ones included."),
                ColumnSpec(name="avg_arrival_delay", description="Minutes; early is negative."),
            ),
        ),
        mart(
            "route_punctuality",
            "Punctuality of each route by the weather at the origin.",
            (
                ColumnSpec(name="destination", tests=("not_null",)),
                ColumnSpec(
                    name="weather",
                    tests=(_values("fair", "wet", "windy", "low visibility", "unknown"),),
                ),
            ),
        ),
        mart(
            "daily_departures",
            "Departures and planes of each airport by day.",
            (ColumnSpec(name="flight_date", tests=("not_null",)),),
            unique_key=("flight_date", "origin"),
        ),
    )


def _values(*values: str | int) -> dict[str, dict[str, object]]:
    return {"accepted_values": {"values": list(values)}}


def _relationship(model: str, column: str, severity: str = "error") -> dict[str, dict[str, object]]:
    return {
        "relationships": {"to": f"ref('{model}')", "field": column, "severity": severity},
    }


def _sql(folder: str, name: str) -> str:
    return files("datanika.demo").joinpath(folder, f"{name}.sql").read_text("utf-8")

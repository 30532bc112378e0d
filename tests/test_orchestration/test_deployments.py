"""What is deployed to Prefect: stable, ids only, and the same in prefect.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from datanika.contracts.schedule import ANCHOR, ScheduleSpec
from datanika.orchestration.deployments import MAINTENANCE, DeploymentRequest

HOURLY = ScheduleSpec(interval_seconds=3600)


def request(**changes: object) -> DeploymentRequest:
    given = {"org_id": 1, "pipeline_id": 2, "name": "flights", "plan_hash": "h", **changes}
    return DeploymentRequest.model_validate(given)


def test_the_version_changes_with_everything_that_prefect_should_know() -> None:
    versions = {
        request().as_deployment().version,
        request(plan_hash="other").as_deployment().version,
        request(schedules=(HOURLY,)).as_deployment().version,
        request(schedules=(HOURLY.model_copy(update={"active": False}),)).as_deployment().version,
        request(paused=True).as_deployment().version,
    }
    assert len(versions) == 5
    assert request().as_deployment().version in versions, "the same input, the same version"


def test_a_name_never_reaches_prefect() -> None:
    assert "flights" not in request().as_deployment().model_dump_json()


def test_schedules_keep_their_zone_and_their_anchor() -> None:
    athens = ScheduleSpec(cron="0 6 * * *", timezone="Europe/Athens", active=False)
    deployment = request(schedules=(HOURLY, athens)).as_deployment()

    interval, cron = deployment.prefect_schedules()

    assert interval.schedule.interval.total_seconds() == 3600
    assert interval.schedule.anchor_date == ANCHOR
    assert (cron.schedule.cron, cron.schedule.timezone) == ("0 6 * * *", "Europe/Athens")
    assert (interval.active, cron.active) == (True, False)


@pytest.mark.parametrize(
    ("cron", "zone", "read_in"),
    [
        ("*/30 * * * *", "America/New_York", "UTC"),
        ("5 * * * *", "Europe/London", "UTC"),
        ("0 * * * *", "Asia/Kolkata", "Asia/Kolkata"),
        ("0 * * * *", "Australia/Lord_Howe", "Australia/Lord_Howe"),
        ("0 */2 * * *", "America/New_York", "America/New_York"),
        ("0 * * * 1", "America/New_York", "America/New_York"),
        ("30 2 * * *", "America/New_York", "America/New_York"),
    ],
)
def test_an_hour_that_comes_twice_fires_twice(cron: str, zone: str, read_in: str) -> None:
    """Prefect skips the repeated hour of a local cron; where UTC means the same, it reads UTC."""
    spec = ScheduleSpec(cron=cron, timezone=zone)
    [schedule] = request(schedules=(spec,)).as_deployment().prefect_schedules()
    assert schedule.schedule.timezone == read_in


def test_prefect_yaml_deploys_the_same_maintenance() -> None:
    text = (Path(__file__).parents[2] / "prefect.yaml").read_text()
    written = {item["name"]: item for item in yaml.safe_load(text)["deployments"]}

    assert set(written) == {deployment.name for deployment in MAINTENANCE}
    for deployment in MAINTENANCE:
        item = written[deployment.name]
        path, _, function = item["entrypoint"].partition(":")
        module = path.removesuffix(".py").replace("/", ".")
        assert f"{module}.{function}" == deployment.entrypoint
        assert tuple(item["tags"]) == deployment.tags
        [schedule], [spec] = item["schedules"], deployment.schedules
        assert (schedule.get("interval"), schedule.get("cron")) == (
            spec.interval_seconds,
            spec.cron,
        )

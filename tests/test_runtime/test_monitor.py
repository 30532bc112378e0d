"""The monitor says what died, sees it come back, and restarts what hangs."""

from __future__ import annotations

import pytest

from datanika.runtime import monitor as module
from datanika.runtime.monitor import Monitor


class Platform:
    """One part whose process and health the test decides."""

    def __init__(self) -> None:
        self.pids = [100]
        self.healthy = True
        self.said: list[str] = []
        self.restarted: list[str] = []
        self.monitor = Monitor(
            ["web"],
            {"web": lambda since: self.healthy},
            lambda name: self.pids,
            self.restarted.append,
            self.said.append,
        )


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.0)
    started = Platform()
    started.monitor.look()
    return started


def test_a_healthy_platform_is_quiet(platform: Platform) -> None:
    platform.monitor.look()
    assert platform.said == []


def test_a_death_and_the_recovery_are_told(platform: Platform) -> None:
    platform.pids, platform.healthy = [], False
    platform.monitor.look()
    assert platform.said == ["web ended unexpectedly; it is started again."]
    platform.pids = [101]
    platform.monitor.look()
    assert len(platform.said) == 1
    platform.healthy = True
    platform.monitor.look()
    assert platform.said[1].startswith("web is healthy again after")


def test_what_lives_but_does_not_answer_is_restarted_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANGING_SECONDS", 0.05)
    platform.healthy = False
    platform.monitor.look()
    assert platform.restarted == []
    module.time.sleep(0.06)
    platform.monitor.look()
    platform.monitor.look()
    assert platform.restarted == ["web"]


def test_what_waits_for_a_part_that_is_down_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(module, "HANGING_SECONDS", 0.05)
    restarted: list[str] = []
    down = Monitor(
        ["prefect", "worker"],
        {"prefect": lambda since: False, "worker": lambda since: False},
        lambda name: [7] if name == "worker" else [],
        restarted.append,
        lambda text: None,
    )
    for _ in range(3):
        down.look()
        module.time.sleep(0.06)
    assert restarted == []


def test_what_stays_down_is_reported_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LATE_SECONDS", 0.0)
    platform.pids, platform.healthy = [], False
    for _ in range(4):
        platform.monitor.look()
        module.time.sleep(0.01)
    assert [line for line in platform.said if "has been down" in line] != []
    assert len(platform.said) == 2

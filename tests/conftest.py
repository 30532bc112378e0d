"""What every test may ask for. The servers are real; see ``tests/support``."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest

from datanika.api import transaction

pytest_plugins = [
    "tests.support.postgres",
    "tests.support.redis",
    "tests.support.prefect",
    "tests.support.platform",
    "tests.support.web",
]

LONGEST = ("fuzz", "e2e", "faults", "attacks")
"""Folders whose tests take minutes each: they begin first, so that no process ends alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests; files stay whole."""
    tests = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(tests).parts[0]
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def fresh_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tests come from one address: what one of them used up is not the next one's."""
    for limiter in (transaction.tenants, transaction.strangers):
        monkeypatch.setattr(limiter, "_buckets", OrderedDict())

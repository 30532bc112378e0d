"""What every test may ask for. The servers are real; see ``tests/support``."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from datanika.api import transaction

pytest_plugins = [
    "tests.support.postgres",
    "tests.support.redis",
    "tests.support.prefect",
    "tests.support.platform",
    "tests.support.web",
]


@pytest.fixture(autouse=True)
def fresh_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tests come from one address: what one of them used up is not the next one's."""
    for limiter in (transaction.tenants, transaction.strangers):
        monkeypatch.setattr(limiter, "_buckets", OrderedDict())

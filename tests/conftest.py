"""What every test may ask for. The servers are real; see ``tests/support``."""

from __future__ import annotations

pytest_plugins = [
    "tests.support.postgres",
    "tests.support.redis",
    "tests.support.prefect",
    "tests.support.platform",
    "tests.support.web",
]

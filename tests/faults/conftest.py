"""What several fault tests share: a warm engine host, and files to load."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from datanika.execution.engine_host import EngineHostClient, start_engine_host


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
async def host(home: Path) -> AsyncIterator[EngineHostClient]:
    """An exec'd, warmed engine host."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATANIKA_HOME", str(home))
        client = start_engine_host()
    yield client
    client.close()

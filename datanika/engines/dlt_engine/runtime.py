"""dlt without its surroundings: no environment, no toml files, no vaults, no telemetry.

dlt looks every value up in its config providers, and by default these read the process'
environment and the home folder: a variable ``DESTINATION__POSTGRES__CREDENTIALS`` of the worker
would hijack every tenant's load. Here the only provider is the dictionary below, and credentials
are given explicitly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SETTINGS: dict[str, Any] = {
    "runtime": {
        "dlthub_telemetry": False,
        "log_level": "CRITICAL",
        "request_timeout": 60,
        "request_max_attempts": 3,
        "http_show_error_body": False,
    },
    "providers": {
        "enable_airflow_secrets": False,
        "enable_google_secrets": False,
        "enable_aws_secrets": False,
    },
    # The load id in every row is what lets the next run sweep rows of a load that was killed.
    "normalize": {
        "workers": 1,
        "parquet_normalizer": {"add_dlt_load_id": True},
    },
    "load": {
        "workers": 1,
        "raise_on_max_retries": 1,
        "truncate_staging_dataset": True,
        "delete_completed_jobs": True,
    },
    "extract": {"workers": 1},
    "data_writer": {"disable_compression": True},
}

STAGING_LAYOUT = "datanika_staging_%s"


@contextmanager
def isolated_dlt(folder: Path) -> Iterator[None]:
    """Everything inside runs with dlt's run context in ``folder`` and with SETTINGS only."""
    import copy

    # dlt starts its telemetry with whichever context comes first and last, and that is its own.
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    from dlt.common.configuration.providers.doc import CustomLoaderDocProvider
    from dlt.common.runtime.run_context import RunContext, switched_run_context

    class IsolatedContext(RunContext):
        @property
        def run_dir(self) -> str:
            return str(folder)

        @property
        def local_dir(self) -> str:
            return str(folder)

        @property
        def data_dir(self) -> str:
            return str(folder)

        @property
        def global_dir(self) -> str:
            return str(folder)

        def initial_providers(self) -> list[Any]:
            return [CustomLoaderDocProvider("datanika", lambda: copy.deepcopy(SETTINGS))]

    with switched_run_context(IsolatedContext(str(folder))):
        yield

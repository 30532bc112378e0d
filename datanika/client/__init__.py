"""A typed client of the REST API, for the CLI and for programs.

    with DatanikaClient.from_environment() as client:
        for run in client.runs.list(state=RunState.FAILED):
            client.runs.retry(run.id)

What it sends and gets are the models of :mod:`datanika.contracts.api`; what the server refuses is
raised as one of :mod:`datanika.errors`.
"""

from datanika.client.client import DatanikaClient
from datanika.client.credentials import credentials_file, save_credentials
from datanika.contracts.webhooks import verify_webhook

__all__ = ["DatanikaClient", "credentials_file", "save_credentials", "verify_webhook"]

"""The client: one credential, and the resources that it reaches."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx

from datanika.client.account import Account
from datanika.client.api_keys import ApiKeys
from datanika.client.audit import Audit
from datanika.client.auth import Auth
from datanika.client.backfills import Backfills
from datanika.client.catalog import Catalog
from datanika.client.connections import Connections
from datanika.client.credentials import find_credentials
from datanika.client.cursors import Cursors
from datanika.client.dependencies import Dependencies
from datanika.client.files import Files
from datanika.client.http import Http
from datanika.client.invitations import Invitations
from datanika.client.jobs import Jobs
from datanika.client.members import Members
from datanika.client.notifications import Notifications
from datanika.client.organizations import Organizations
from datanika.client.overview import Overview
from datanika.client.pipelines import Pipelines
from datanika.client.projects import Projects
from datanika.client.queue import Queue
from datanika.client.runs import Runs
from datanika.client.schedules import Schedules
from datanika.client.transformations import Transformations
from datanika.client.usage import Usage


class DatanikaClient:
    """One credential's view of ``/api/v1``, an attribute for each resource.

    :param url: of the platform, without ``/api/v1``.
    :param token: an API key or an access token; none for what strangers may do, such as
        ``auth.login``, whose token the client uses from then on.
    :param timeout: seconds for an answer; what ``wait=`` asks for is added.
    :param transport: of httpx, for tests.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._http = http = Http(self.url, token, timeout, transport)
        self.account = Account(http)
        self.api_keys = ApiKeys(http)
        self.audit = Audit(http)
        self.auth = Auth(http)
        self.backfills = Backfills(http)
        self.catalog = Catalog(http)
        self.connections = Connections(http)
        self.cursors = Cursors(http)
        self.dependencies = Dependencies(http)
        self.files = Files(http)
        self.invitations = Invitations(http)
        self.jobs = Jobs(http)
        self.members = Members(http)
        self.notifications = Notifications(http)
        self.organizations = Organizations(http)
        self.overview = Overview(http)
        self.pipelines = Pipelines(http)
        self.projects = Projects(http)
        self.queue = Queue(http)
        self.runs = Runs(http)
        self.schedules = Schedules(http)
        self.transformations = Transformations(http)
        self.usage = Usage(http)

    @classmethod
    def from_environment(cls) -> DatanikaClient:
        """The client that ``DATANIKA_URL`` and ``DATANIKA_TOKEN``, or the data folder, describe."""
        return cls(*find_credentials())

    def close(self) -> None:
        """Give the connections back; a ``with`` block does it."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

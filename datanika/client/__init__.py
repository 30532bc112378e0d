"""A typed client of the REST API, for the CLI and for programs.

    with DatanikaClient.from_environment() as datanika:
        run = datanika.trigger(pipeline_id, idempotency_key="today")

Where it finds the platform: ``DATANIKA_URL`` and ``DATANIKA_TOKEN``, else ``cli.json`` in the data
folder, which ``datanika demo`` writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import BaseModel

from datanika.client.http import Http
from datanika.contracts.api import (
    ApiKeyCreatedOut,
    ApiKeyIn,
    CatalogEntryOut,
    ConnectionIn,
    ConnectionOut,
    LogOut,
    MeOut,
    Page,
    PipelineIn,
    PipelineItem,
    PipelineOut,
    PlanOut,
    RegisteredOut,
    RegisterIn,
    RunOut,
    RunStepOut,
    ScheduleIn,
    ScheduleOut,
    TokensOut,
    TransformationOut,
)
from datanika.contracts.spec import PipelineSpec, TransformationSpec
from datanika.contracts.webhooks import verify_webhook
from datanika.errors import ConfigError, NotFound

__all__ = ["DatanikaClient", "credentials_file", "save_credentials", "verify_webhook"]

_OVERWRITE = {"If-Match": "*"}


def credentials_file(home: Path) -> Path:
    """Where this machine's command line finds the platform and its key."""
    return home / "cli.json"


def save_credentials(home: Path, url: str, token: str) -> None:
    """Remember the platform and a key of it for this user's commands; nobody else may read it."""
    path = credentials_file(home)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": url, "token": token}, file)


class DatanikaClient:
    """One credential's view of ``/api/v1``. Raises what the server says as our errors.

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
        self._http = Http(self.url, token, timeout, transport)

    @classmethod
    def from_environment(cls) -> DatanikaClient:
        """The client that the environment or the data folder describes."""
        from datanika.config import data_home

        saved: dict[str, str] = {}
        path = credentials_file(data_home())
        if path.is_file():
            saved = json.loads(path.read_text("utf-8"))
        url = os.environ.get("DATANIKA_URL") or saved.get("url")
        token = os.environ.get("DATANIKA_TOKEN") or saved.get("token")
        if not url or not token:
            raise ConfigError(
                "There is no platform to talk to.",
                code="client_not_configured",
                hint="Set DATANIKA_URL and DATANIKA_TOKEN (an API key), or run `datanika demo`.",
            )
        return cls(url, token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def register(
        self, email: str, password: str, name: str, organization_name: str
    ) -> RegisteredOut:
        """Ask for a user and the organisation they own. The answer does not tell whether the
        address has an account already: a login does."""
        body = RegisterIn(
            email=email, password=password, name=name, organization_name=organization_name
        )
        return self._send(RegisteredOut, "POST", "auth/register", body)

    def login(self, email: str, password: str) -> TokensOut:
        """Log in; this client uses the access token from now on."""
        body = {"email": email, "password": password}
        tokens = self._send(TokensOut, "POST", "auth/login", body)
        self._http.authenticate(tokens.access_token)
        return tokens

    def me(self) -> MeOut:
        """Who this credential is, in which organisation."""
        return self._send(MeOut, "GET", "auth/me")

    def create_api_key(self, name: str, scopes: list[str]) -> ApiKeyCreatedOut:
        """A key for programs; its plaintext is in the answer only."""
        return self._send(ApiKeyCreatedOut, "POST", "api-keys", ApiKeyIn(name=name, scopes=scopes))

    def create_connection(
        self, name: str, kind: str, config: dict[str, Any], description: str = ""
    ) -> ConnectionOut:
        """A new connection; ``config`` includes its secrets."""
        body = ConnectionIn(name=name, kind=kind, config=config, description=description)
        return self._send(ConnectionOut, "POST", "connections", body)

    def update_connection(self, connection_id: int, config: dict[str, Any]) -> ConnectionOut:
        """Replace the configuration; secrets left out keep their value."""
        body = {"config": config}
        return self._change(ConnectionOut, f"connections/{connection_id}", body)

    def connections(self) -> Iterator[ConnectionOut]:
        """Every connection."""
        return self._items(ConnectionOut, "connections")

    def create_transformation(self, spec: TransformationSpec) -> TransformationOut:
        """A new transformation."""
        return self._send(TransformationOut, "POST", "transformations", spec)

    def update_transformation(
        self, transformation_id: int, spec: TransformationSpec
    ) -> TransformationOut:
        """Replace a transformation."""
        return self._change(TransformationOut, f"transformations/{transformation_id}", spec)

    def transformations(self) -> Iterator[TransformationOut]:
        """Every transformation."""
        return self._items(TransformationOut, "transformations")

    def create_pipeline(self, name: str, spec: PipelineSpec, description: str = "") -> PipelineOut:
        """A new pipeline."""
        body = PipelineIn(name=name, description=description, spec=spec)
        return self._send(PipelineOut, "POST", "pipelines", body)

    def update_pipeline(self, pipeline_id: int, spec: PipelineSpec) -> PipelineOut:
        """Give a pipeline another specification; a changed one is a new version."""
        body = {"spec": spec.model_dump(mode="json")}
        return self._change(PipelineOut, f"pipelines/{pipeline_id}", body)

    def pipelines(self, name: str | None = None) -> Iterator[PipelineItem]:
        """Every pipeline, or the one called ``name``, without its specification."""
        return self._items(PipelineItem, "pipelines", **({"name": name} if name else {}))

    def pipeline(self, reference: str | int) -> PipelineOut:
        """A pipeline by its id or its name."""
        if str(reference).isdecimal():
            return self._send(PipelineOut, "GET", f"pipelines/{reference}")
        for found in self.pipelines(str(reference)):
            return self._send(PipelineOut, "GET", f"pipelines/{found.id}")
        raise NotFound(f"There is no pipeline {reference!r}.", code="pipeline_not_found")

    def plan(self, pipeline_id: int) -> PlanOut:
        """What a run triggered now would do."""
        return self._send(PlanOut, "GET", f"pipelines/{pipeline_id}/plan")

    def create_schedule(self, body: ScheduleIn) -> ScheduleOut:
        """A new schedule of a pipeline."""
        return self._send(ScheduleOut, "POST", "schedules", body)

    def schedules(self, pipeline_id: int | None = None) -> Iterator[ScheduleOut]:
        """Every schedule, or those of one pipeline."""
        query = {"pipeline_id": pipeline_id} if pipeline_id else {}
        return self._items(ScheduleOut, "schedules", **query)

    def trigger(self, pipeline_id: int, idempotency_key: str | None = None) -> RunOut:
        """Start a run; the same key gives the same run."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._send(RunOut, "POST", f"pipelines/{pipeline_id}/runs", headers=headers)

    def run(self, run_id: int) -> RunOut:
        """A run as it is now."""
        return self._send(RunOut, "GET", f"runs/{run_id}")

    def cancel(self, run_id: int) -> RunOut:
        """Stop a run."""
        return self._send(RunOut, "POST", f"runs/{run_id}/cancel")

    def steps(self, run_id: int) -> list[RunStepOut]:
        """A run's steps with the tables and dbt nodes in them."""
        return self._send(Page[RunStepOut], "GET", f"runs/{run_id}/steps").items

    def logs(self, run_id: int, after: int = 0) -> list[LogOut]:
        """A run's log lines after the line ``after``."""
        return self._send(Page[LogOut], "GET", f"runs/{run_id}/logs?after={after}").items

    def catalog(self) -> Iterator[CatalogEntryOut]:
        """Every table and view that runs have made."""
        return self._items(CatalogEntryOut, "catalog")

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at ``path``, relative to ``/api/v1``."""
        return json.loads(self._http.request("GET", path, params=query))

    def post(self, path: str, body: Any = None) -> Any:
        """Send ``body``; the answer's JSON, None where there is none."""
        return json.loads(self._http.request("POST", path, json=body) or b"null")

    def patch(self, path: str, body: Any, revision: int | None = None) -> Any:
        """Change what ``body`` names; the answer's JSON.

        With the ``revision`` that was read it raises :class:`~datanika.errors.PreconditionFailed`
        when somebody else was faster; without it the change is made whatever is there now.
        """
        headers = _OVERWRITE if revision is None else {"If-Match": f'"{revision}"'}
        return json.loads(self._http.request("PATCH", path, json=body, headers=headers))

    def delete(self, path: str) -> None:
        """Take away what is at ``path``."""
        self._http.request("DELETE", path)

    def all(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page after page."""
        while True:
            page = self.get(path, **query)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    def _items[Item: BaseModel](self, kind: type[Item], path: str, **query: Any) -> Iterator[Item]:
        return (kind.model_validate(item) for item in self.all(path, **query))

    def _send[Answer: BaseModel](
        self,
        kind: type[Answer],
        method: str,
        path: str,
        body: BaseModel | dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        content = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
        answer = self._http.request(method, path, json=content, headers=headers or {})
        return kind.model_validate_json(answer)

    def _change[Answer: BaseModel](
        self, kind: type[Answer], path: str, body: BaseModel | dict[str, Any]
    ) -> Answer:
        """Change what is at ``path``, whatever it is now."""
        return self._send(kind, "PATCH", path, body, headers=_OVERWRITE)

"""HTTP to the control plane's internal API, patient with restarts of the web process.

Errors raised here never quote a request or an answer: an answer may carry credentials, and the
errors end in Prefect's logs.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import TypeAdapter, ValidationError

from datanika.contracts.events import RunClaim
from datanika.errors import (
    AuthenticationError,
    Conflict,
    DatanikaError,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unavailable,
)

_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_ERRORS: dict[int, type[DatanikaError]] = {
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
}


def parse[T](adapter: TypeAdapter[T], content: bytes, what: str) -> T:
    """``content`` as ``T``. pydantic's own error would quote the input, secrets included."""
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        fields = sorted({".".join(map(str, item["loc"])) for item in error.errors()})
    raise DatanikaError(
        f"The control plane's {what} does not fit the contract at: {', '.join(fields)}.",
        code="contract_mismatch",
        hint="Web and worker are of different versions: upgrade both.",
    )


class InternalApi:
    """One bearer token's view of ``/internal/v1``.

    :param patience: seconds to keep trying while the control plane is unreachable or says 5xx.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        patience: float = 180.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._patience = patience
        self._http = httpx.AsyncClient(
            base_url=f"{base_url.rstrip('/')}/internal/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(30.0, connect=5.0),
            transport=transport,
            # No proxy of the environment ever sees a run token.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def request(
        self, method: str, path: str, body: Any = None, *, patience: float | None = None
    ) -> bytes:
        """The answer's content.

        :raises Unavailable: the control plane did not answer within the patience.
        :raises DatanikaError: it refused; ``code`` is the one of its problem document.
        """
        deadline = time.monotonic() + (self._patience if patience is None else patience)
        delay = 0.2
        while True:
            response: httpx.Response | None = None
            try:
                response = await self._http.request(method, path, json=body)
            except httpx.TransportError:
                reason = "does not answer"
            else:
                if response.status_code < 400:
                    return response.content
                if response.status_code not in _RETRYABLE:
                    raise _refusal(response, f"{method} {path}")
                reason = f"answers {response.status_code}"
            if time.monotonic() + delay > deadline:
                raise Unavailable(
                    f"The control plane {reason} ({method} {path}).",
                    hint="Check that the web process runs and DATANIKA_INTERNAL_URL names it.",
                )
            await asyncio.sleep(delay)
            delay = min(delay * 2, 3.0)


def _refusal(response: httpx.Response, call: str) -> DatanikaError:
    try:
        problem = response.json()
        code = str(problem["code"])
    except (ValueError, KeyError, TypeError):
        code = None
    kind = _ERRORS.get(response.status_code, InvalidInput)
    return kind(f"The control plane refused {call} with {response.status_code}.", code=code)


class WorkerApi:
    """What a worker's own token may do: claim runs, report crashes, start maintenance."""

    def __init__(self, api: InternalApi) -> None:
        self._api = api

    async def claim(
        self,
        flow_run_id: str,
        *,
        org_id: int,
        pipeline_id: int,
        run_id: int | None,
        scheduled_for: str | None = None,
    ) -> RunClaim:
        """The right to run this flow run, or ``proceed=False`` with the reason.

        ``scheduled_for``: the time (RFC 3339) for which Prefect's scheduler made the flow run.
        """
        body = {
            "flow_run_id": flow_run_id,
            "org_id": org_id,
            "pipeline_id": pipeline_id,
            "run_id": run_id,
            "scheduled_for": scheduled_for,
        }
        content = await self._api.request("POST", "claims", body)
        return parse(_CLAIM, content, "claim")

    async def crashed(self, flow_run_id: str, message: str) -> None:
        """Say that the process of this flow run is gone and did not finish its run."""
        path = f"runs/by-flow-run/{flow_run_id}/crashed"
        await self._api.request("POST", path, {"message": message}, patience=30.0)

    async def maintenance(self, job: str) -> dict[str, Any]:
        """Run the maintenance job ``reconcile``, ``sweep`` or ``retention``; its counts."""
        content = await self._api.request("POST", f"maintenance/{job}", patience=30.0)
        return parse(_COUNTS, content, "maintenance report")


_CLAIM = TypeAdapter(RunClaim)
_COUNTS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])

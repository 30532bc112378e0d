"""How the client speaks HTTP: what is sent again, and what an error of the server becomes.

A POST carries an ``Idempotency-Key``, so it may be sent again like a GET: the server does the work
once. Nothing else is repeated.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import httpx
from pydantic import ValidationError

from datanika.contracts.api import Problem
from datanika.errors import (
    AuthenticationError,
    Conflict,
    DatanikaError,
    IllegalTransition,
    InvalidInput,
    LimitReached,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    PreconditionRequired,
    TooManyRequests,
    Unavailable,
)

ATTEMPTS = 3
LONGEST_PAUSE = 10.0
"""Seconds: a server that asks for more patience is not waited for."""
_REPEATABLE = frozenset({"GET", "POST"})

_BY_STATUS: dict[int, type[DatanikaError]] = {
    kind.status: kind
    for kind in (
        AuthenticationError,
        PermissionDenied,
        NotFound,
        Conflict,
        PreconditionFailed,
        PreconditionRequired,
        InvalidInput,
        TooManyRequests,
        Unavailable,
    )
}
_BY_CODE: dict[str, type[DatanikaError]] = {
    kind.default_code: kind for kind in (IllegalTransition, LimitReached)
}


class Http:
    """Requests to ``/api/v1`` of one platform with one credential.

    :param transport: of httpx, for tests.
    :param sleep: what waits between attempts.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout: float,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(
            base_url=f"{url}/api/v1/", headers=headers, timeout=timeout, transport=transport
        )
        self._timeout = timeout
        self._sleep = sleep

    def authenticate(self, token: str) -> None:
        """Send ``token`` from now on."""
        self._client.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        longer: float = 0,
        **more: Any,
    ) -> bytes:
        """The body of the answer; raises what the server said as our errors.

        ``longer`` is added to the seconds that it may take.
        """
        headers = dict(headers or {})
        if method == "POST":
            headers.setdefault("Idempotency-Key", secrets.token_hex(16))
        attempts = ATTEMPTS if method in _REPEATABLE else 1
        for attempt in range(1, attempts + 1):
            pause = 0.2 * 2**attempt
            try:
                response = self._client.request(
                    method, path, headers=headers, timeout=self._timeout + longer, **more
                )
            except httpx.TransportError:
                error: DatanikaError = self._unreachable()
            else:
                if response.is_success:
                    return response.content
                error = as_error(response)
                if not isinstance(error, Unavailable):
                    break
                pause = error.context["retry_after"] or pause
            if attempt == attempts or pause > LONGEST_PAUSE:
                break
            self._sleep(pause)
        raise error

    def send(
        self, path: str, content: IO[bytes] | bytes, *, params: dict[str, Any], longer: float = 0
    ) -> bytes:
        """POST ``content`` as it is, in pieces where it is an open file. It is sent once: what is
        sent again changes nothing where it has arrived."""
        try:
            response = self._client.post(
                path,
                content=content,
                params=params,
                headers={
                    "Content-Type": "application/octet-stream",
                    "Idempotency-Key": secrets.token_hex(16),
                },
                timeout=self._timeout + longer,
            )
        except httpx.TransportError:
            raise self._unreachable() from None
        if not response.is_success:
            raise as_error(response)
        return response.content

    def download(
        self,
        path: str,
        params: dict[str, Any],
        *,
        headers: dict[str, str] | None = None,
        longer: float = 0,
    ) -> Iterator[bytes]:
        """The body of a GET in pieces as they arrive. It is asked for once.

        ``longer`` is added to the seconds that a piece may take.
        """
        timeout = self._timeout + longer
        try:
            with self._client.stream(
                "GET", path, params=params, headers=headers, timeout=timeout
            ) as response:
                if not response.is_success:
                    response.read()
                    raise as_error(response)
                yield from response.iter_bytes()
        except httpx.TransportError:
            raise self._unreachable() from None

    def pause(self, seconds: float) -> None:
        """Wait before asking again."""
        self._sleep(seconds)

    def _unreachable(self) -> Unavailable:
        return Unavailable(
            f"{self.url} does not answer.",
            code="platform_unreachable",
            hint="Is `datanika up` running? DATANIKA_URL says where to look.",
        )


def as_error(response: httpx.Response) -> DatanikaError:
    """What the server said; ``context["retry_after"]`` is in seconds or None."""
    wait = response.headers.get("retry-after", "")
    retry_after = float(wait) if wait.isdecimal() else None
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        kind = _BY_STATUS.get(response.status_code, DatanikaError)
        return kind(f"The platform answered {response.status_code}.", retry_after=retry_after)
    return error_of(problem, retry_after)


def error_of(problem: Problem, retry_after: float | None = None) -> DatanikaError:
    """A problem that the server described, as our error."""
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(problem.status, DatanikaError)
    return kind(
        problem.detail,
        code=problem.code,
        hint=problem.hint,
        field=problem.field,
        retry_after=retry_after,
        errors=problem.errors,
        request_id=problem.request_id,
    )

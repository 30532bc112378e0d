"""What the resources share: an operation in one line, lists to their end, and the condition that
keeps two editors apart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from datanika.client.http import Http
from datanika.contracts.api import Page
from datanika.errors import PreconditionRequired


class Resource:
    """A part of the API. Every method raises what the server says as our errors."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def _get[Answer: BaseModel](self, kind: type[Answer], path: str, /, **query: Any) -> Answer:
        answer = self._http.request("GET", path, params=written(**query))
        return kind.model_validate_json(answer)

    def _pages[Item: BaseModel](
        self, kind: type[Item], path: str, /, **query: Any
    ) -> Iterator[Page[Item]]:
        cursor: str | None = None
        while True:
            page = self._get(Page[kind], path, **query, cursor=cursor)  # type: ignore[valid-type]
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    def _items[Item: BaseModel](
        self, kind: type[Item], path: str, /, **query: Any
    ) -> Iterator[Item]:
        """Every item of a list that has pages."""
        return (item for page in self._pages(kind, path, **query) for item in page.items)

    def _whole[Item: BaseModel](self, kind: type[Item], path: str) -> Sequence[Item]:
        """A list that has no pages."""
        return self._get(Page[kind], path).items  # type: ignore[valid-type]

    def _post[Answer: BaseModel](
        self,
        kind: type[Answer],
        path: str,
        body: BaseModel | None = None,
        *,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Answer:
        answer = self._http.request(
            "POST",
            path,
            json=_content(body),
            params=written(wait=wait),
            headers={} if idempotency_key is None else {"Idempotency-Key": idempotency_key},
            longer=wait or 0,
        )
        return kind.model_validate_json(answer)

    def _do(self, path: str, body: BaseModel | None = None) -> None:
        """A POST that answers nothing."""
        self._http.request("POST", path, json=_content(body))

    def _patch[Answer: BaseModel](
        self,
        kind: type[Answer],
        path: str,
        change: BaseModel,
        condition: dict[str, str] | None = None,
    ) -> Answer:
        """What was not given to ``change`` stays as it is."""
        given = change.model_dump(mode="json", include=change.model_fields_set)
        answer = self._http.request("PATCH", path, json=given, headers=condition)
        return kind.model_validate_json(answer)

    def _replace[Answer: BaseModel](
        self, kind: type[Answer], path: str, whole: BaseModel, condition: dict[str, str]
    ) -> Answer:
        answer = self._http.request("PATCH", path, json=_content(whole), headers=condition)
        return kind.model_validate_json(answer)

    def _delete(self, path: str, condition: dict[str, str] | None = None) -> bytes:
        return self._http.request("DELETE", path, headers=condition)


def segment(text: str) -> str:
    """``text`` as one segment of a path."""
    return quote(text, safe="")


def if_match(read: object, revision: int | None, overwrite: bool) -> dict[str, str]:
    """The header that names the state which a change is based on: of ``revision``, else of what
    was ``read``, or with ``overwrite`` whatever it is now.

    Raises :class:`PreconditionRequired` when none of them says it: a change must not overwrite
    somebody else's by accident.
    """
    if overwrite:
        return {"If-Match": "*"}
    based_on = revision if revision is not None else getattr(read, "revision", None)
    if based_on is None:
        raise PreconditionRequired(
            "Nothing says which state this changes.",
            hint="Give what you read instead of its id, or its revision=, or overwrite=True.",
            field="revision",
        )
    return {"If-Match": f'"{based_on}"'}


def written(**query: Any) -> dict[str, Any]:
    """The parameters that were given, as a URL has them."""
    return {
        name: value.isoformat() if isinstance(value, dt.datetime) else value
        for name, value in query.items()
        if value is not None
    }


def _content(body: BaseModel | None) -> Any:
    return None if body is None else body.model_dump(mode="json", by_alias=True)

"""What the application serves, as a table: the template of a route, and the methods of a path."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Route, compile_path
from starlette.types import Receive, Scope, Send

from datanika.api.problems import not_a_route
from datanika.errors import MethodNotAllowed

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
PREFIXES = ("/api", "/internal")
"""Everything under these is ours: the UI behind us would answer it with a page."""


@dataclass(slots=True)
class RouteTable:
    """Read from a finished application."""

    templates: dict[int, str] = field(default_factory=dict)
    """By the id of the route object that a request's scope has under ``route``."""
    paths: list[tuple[re.Pattern[str], str, frozenset[str]]] = field(default_factory=list)

    @classmethod
    def of(cls, app: FastAPI) -> RouteTable:
        """The table of ``app``'s routes, without those of :func:`answer_the_rest`."""
        table = cls()
        for context in iter_route_contexts(app.router.routes):
            if context.path_format is None or not context.methods:
                continue
            pattern, template, _ = compile_path(context.path or "")
            table.templates[id(context.original_route)] = template
            table.paths.append((pattern, template, frozenset(context.methods)))
        return table

    def template(self, scope: Scope) -> str | None:
        """``/api/v1/runs/{run_id}``; None where no route of ours answered."""
        return self.templates.get(id(scope.get("route")))

    def methods(self, path: str) -> list[str]:
        """What may be sent to ``path``; empty when it does not exist."""
        own = [some for _, template, some in self.paths if template == path]
        found = own or [some for pattern, _, some in self.paths if pattern.match(path)]
        return sorted({one for some in found for one in some})

    def overlapped(self) -> list[str]:
        """Paths without parameters that a path with one would match, too."""
        return [
            path
            for _, path, _ in self.paths
            if "{" not in path
            and any("{" in other and pattern.match(path) for pattern, other, _ in self.paths)
        ]


def answer_the_rest(app: FastAPI) -> RouteTable:
    """Let ``app`` answer every other path under :data:`PREFIXES` with 404, and every other method
    of its own paths with 405. Call it when all routes are there."""
    table = RouteTable.of(app)
    rest = _TheRest(table)
    own = {template for _, template, _ in table.paths if "{" not in template}
    outside = sorted(path for path in own if not path.startswith(PREFIXES))
    for path in (*(f"{prefix}/{{path:path}}" for prefix in PREFIXES), *outside):
        # A class instance, unlike a function, is given every method.
        app.router.routes.append(Route(path, rest, include_in_schema=False))
    for path in table.overlapped():
        refused = sorted(_METHODS - set(table.methods(path)))
        # `/connections/test` is no connection: its other methods must not reach one.
        app.router.routes.insert(0, Route(path, rest, methods=refused, include_in_schema=False))
    return table


class _TheRest:
    """ASGI endpoint for what no route has taken."""

    def __init__(self, table: RouteTable) -> None:
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        allowed = self._table.methods(path)
        if not allowed:
            raise not_a_route(path)
        raise MethodNotAllowed(
            f"{path} does not know the method {scope['method']}.",
            hint=f"Use {' or '.join(allowed)}.",
            headers={"Allow": ", ".join(allowed)},
        )

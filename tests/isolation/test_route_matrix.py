"""Every route, asked by everybody: the answer, and that a refusal changed nothing."""

from __future__ import annotations

from enum import StrEnum

import httpx
import pytest

from datanika.api.transaction import MEMBER, PERSON
from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.security import create_run_token
from datanika.services.permissions import PERMISSIONS
from tests.isolation import callers as people
from tests.isolation.routes import ROUTES, Entry, Route, ask, routes_of
from tests.isolation.world import World, contents, nowhere_bearer, undone
from tests.support.application import application
from tests.support.tenants import access_token

ALL = routes_of(application())
KNOWN = [route for route in ALL if str(route) in ROUTES]


class Caller(StrEnum):
    ANONYMOUS = "anonymous"
    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"
    OWNER = "owner"
    KEY = "key with the scope"
    KEY_WITHOUT = "key without the scope"
    KEY_LOST_ROLE = "key whose maker lost the role"
    STRANGER = "owner of another organisation"
    NOWHERE = "member of no organisation"
    LOGGED_OUT = "login that has ended"
    EXPIRED = "expired token"
    NONSENSE = "forged token"
    WORKER = "worker"
    RUN = "run"
    OTHER_RUN = "another run"
    SCRAPER = "scraper"


REFUSED_EVERYWHERE = {Caller.ANONYMOUS, Caller.LOGGED_OUT, Caller.EXPIRED, Caller.NONSENSE}
INTERNAL = {Caller.WORKER, Caller.RUN, Caller.OTHER_RUN, Caller.SCRAPER}


def expected(entry: Entry, route: Route, caller: Caller) -> int:
    """The status that ``caller`` must get."""
    least = entry.least
    if least == "anyone":
        return entry.success
    if least in ("worker", "scraper"):
        return entry.success if caller == least else 401
    if least == "run":
        return {Caller.RUN: entry.success, Caller.OTHER_RUN: 403}.get(caller, 401)
    if caller in REFUSED_EVERYWHERE | INTERNAL:
        return 401
    if caller is Caller.NOWHERE:
        return (entry.nowhere or entry.success) if least in (MEMBER, PERSON) else 403
    if caller is Caller.STRANGER and entry.foreign:
        return entry.foreign
    if caller in (Caller.OWNER, Caller.STRANGER) and entry.owner:
        return entry.owner
    if caller is Caller.STRANGER:
        return 404 if "{" in route.path else entry.success
    if caller in (Caller.KEY, Caller.KEY_WITHOUT, Caller.KEY_LOST_ROLE):
        return _expected_of_key(entry, caller)
    if least in (MEMBER, PERSON):
        return entry.success
    return entry.success if Role(caller.value).covers(least) else 403


def _expected_of_key(entry: Entry, caller: Caller) -> int:
    # A maker who is not even a viewer any more has left.
    if caller is Caller.KEY_LOST_ROLE and entry.least in (MEMBER, PERSON, Role.VIEWER):
        return 401
    if not entry.keys or entry.least == PERSON:
        return 403
    return entry.success if caller is Caller.KEY or entry.least == "member" else 403


async def bearer(world: World, route: Route, entry: Entry, caller: Caller) -> str | None:
    """What ``caller`` sends."""
    permission = None if route.permission in (MEMBER, PERSON) else route.permission
    match caller:
        case Caller.ANONYMOUS:
            return None
        case Caller.VIEWER | Caller.EDITOR | Caller.ADMIN | Caller.OWNER:
            return people.member_bearer(world, Role(caller.value))
        case Caller.KEY:
            return await people.key_bearer(world, [permission or "run:read"])
        case Caller.KEY_WITHOUT:
            return await people.key_bearer(world, [people.other_scope(permission)])
        case Caller.KEY_LOST_ROLE:
            least = entry.least if isinstance(entry.least, Role) else None
            return await people.lost_role_bearer(world, permission, least)
        case Caller.STRANGER:
            return access_token(world.stranger)
        case Caller.NOWHERE:
            return await nowhere_bearer()
        case Caller.LOGGED_OUT:
            return await people.logged_out_bearer(world)
        case Caller.EXPIRED:
            return people.expired_bearer(world)
        case Caller.NONSENSE:
            return access_token(world.owner)[:-4] + "AAAA"
        case Caller.WORKER:
            return settings.require("worker_token")
        case Caller.RUN:
            return world.run_token
        case Caller.OTHER_RUN:
            return create_run_token(world.queued_run_id, world.org_id, 1)
        case Caller.SCRAPER:
            return settings.require("metrics_token")


def _is_empty(answer: httpx.Response) -> bool:
    is_list = answer.headers["content-type"] == "application/json"
    return answer.json().get("items", []) == [] if is_list else answer.content == b""


def test_every_route_has_an_entry_and_every_entry_a_route() -> None:
    known = {str(route) for route in ALL}
    assert known - set(ROUTES) == set(), (
        "Add the new route to tests/isolation/routes.py: the least role that may use it, the "
        "status of a success, a valid body, and which ids of the world its path takes."
    )
    assert set(ROUTES) - known == set(), "These routes are gone: take them out of routes.py."


@pytest.mark.parametrize("route", KNOWN, ids=str)
def test_the_code_and_the_table_agree_who_may(route: Route) -> None:
    least = ROUTES[str(route)].least
    stated = PERMISSIONS.get(route.permission or "", route.permission)
    assert stated == (least if isinstance(least, Role) or least in (MEMBER, PERSON) else None)


@pytest.mark.parametrize("caller", Caller, ids=str)
@pytest.mark.parametrize("route", KNOWN, ids=str)
async def test_everybody_gets_the_answer_that_is_theirs(
    route: Route, caller: Caller, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = ROUTES[str(route)]
    status = expected(entry, route, caller)
    async with undone(monkeypatch) as connection:
        token = await bearer(world, route, entry, caller)
        before = await contents(connection) if status >= 400 else {}
        answer = await ask(world, route, entry, token)
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert await contents(connection) == before
        if caller is Caller.STRANGER and route.method == "GET" and status == 200:
            own = entry.own_rows or entry.least == PERSON
            assert own or _is_empty(answer) or "kinds" in route.path

"""The policy that the settings make: private networks, never the platform itself."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from datanika.config import Settings, settings
from datanika.contracts.egress import EgressPolicy, Networks
from datanika.db import get_session
from datanika.egress.guard import EgressGuard
from datanika.errors import ConfigError, EgressRefused
from datanika.services import egress_policy
from datanika.services.connection_service import (
    ConnectionService,
    resolve_connection,
    resolve_unsaved,
)
from datanika.services.egress_policy import current_policy, own_services, written_policy
from tests.support.canary import FakeDns
from tests.support.tenants import make_tenant

GIVEN: dict[str, Any] = {
    "database_url": "postgresql://app:db-p4ss@db.example:6432/datanika",
    "database_admin_url": "postgresql://owner:own-p4ss@db.example/datanika_admin",
    "redis_url": "rediss://:redis-p4ss@redis.example/0",
    "prefect_api_url": "https://prefect.example/api",
    "prefect_ui_url": None,
    "internal_url": "http://web:8000",
    "public_url": "https://pipelines.example",
    "host": "0.0.0.0",
    "port": 8000,
}


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NETWORKS", "ALLOW", "DENY", "OWN", "PRIVILEGED_ROLES"):
        monkeypatch.delenv(f"DATANIKA_EGRESS_{name}", raising=False)
    monkeypatch.setattr(egress_policy, "_known", {})


def given(**changes: Any) -> Settings:
    return Settings(_env_file=None, **{**GIVEN, **changes})


def refused(policy: EgressPolicy, host: str, port: int, database: str | None = None) -> bool:
    try:
        EgressGuard(policy, FakeDns(**{host.replace(".", "_"): [["8.8.8.8"]]})).check(
            host, port, database
        )
    except EgressRefused:
        return True
    return False


@pytest.mark.parametrize(
    ("env", "networks", "effective"),
    [
        ("production", None, Networks.PRIVATE),
        ("development", None, Networks.LOCAL),
        ("production", "public", Networks.PUBLIC),
        ("production", "local", Networks.LOCAL),
        ("development", "private", Networks.PRIVATE),
    ],
)
def test_loopback_is_open_on_a_laptop_and_closed_in_production(
    env: str, networks: str | None, effective: Networks
) -> None:
    assert written_policy(given(env=env, egress_networks=networks)).networks is effective


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("db.example", 6432),
        ("db.example", 5432),
        ("redis.example", 6379),
        ("prefect.example", 443),
        ("web", 8000),
        ("pipelines.example", 443),
        ("127.0.0.1", 8000),
        ("::1", 8000),
        ("10.0.0.9", 5433),
    ],
)
def test_nobody_reaches_the_platforms_own_services(host: str, port: int) -> None:
    policy = written_policy(given(env="development", egress_own="10.0.0.9:5433"))
    assert refused(policy, host, port)
    assert refused(policy, host, port, "datanika")
    assert not refused(policy, host, port + 1)


@pytest.mark.parametrize("database", ["datanika", "datanika_admin", "prefect", "postgres"])
def test_no_rule_opens_the_platforms_databases(database: str) -> None:
    allow = f"db.example:6432/{database},db.example:6432/warehouse"
    policy = written_policy(given(egress_allow=allow))
    assert refused(policy, "db.example", 6432, database)
    assert not refused(policy, "db.example", 6432, "warehouse")


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("postgresql://a:b@h1/d", {("h1", 5432)}),
        ("postgresql+asyncpg://a:b@[::1]:5433/d", {("::1", 5433)}),
        ("postgresql://a:b@/d?host=h1:5433&host=h2", {("h1", 5433), ("h2", 5432)}),
        ("postgresql://a:b@/d?host=/var/run/postgresql", {("localhost", 5432)}),
        ("postgresql:///d", {("localhost", 5432)}),
        ("postgresql://a:p%40s%2Fs@h1:1/d", {("h1", 1)}),
    ],
)
def test_the_database_server_is_found_however_it_is_written(
    url: str, places: set[tuple[str, int]]
) -> None:
    found = own_services(given(database_url=url, database_admin_url=None))
    assert places == {(one.host, one.port) for one in found if one.databases}


def test_the_policy_holds_no_credential() -> None:
    text = written_policy(given()).model_dump_json()
    assert "p4ss" not in text
    assert "owner" not in text


@pytest.mark.parametrize("name", ["egress_allow", "egress_deny", "egress_own"])
@pytest.mark.parametrize("rule", ["10.0.0.0/99", "a b", "host:1:2", "ok.example:1/*"])
def test_a_rule_that_is_none_says_so(name: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=f"DATANIKA_{name.upper()}") as wrong:
        written_policy(given(**{name: f"fine.example:1,{rule}"}))
    assert wrong.value.hint


async def test_own_services_are_known_by_the_addresses_they_have_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up: list[str] = []

    def lookup(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        looked_up.append(host)
        if host == "db.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.9.9.9", port))]
        raise socket.gaierror(socket.EAI_NONAME, "nobody")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    for name, value in given().model_dump().items():
        if name in GIVEN:
            monkeypatch.setattr(settings, name, value)
    policy = await current_policy()
    assert refused(policy, "10.9.9.9", 6432)
    assert not refused(policy, "10.9.9.9", 6433)
    count = len(looked_up)
    assert await current_policy() == policy
    assert len(looked_up) == count, "not looked up again at once"
    monkeypatch.setattr(settings, "egress_deny", "bad.example")
    assert refused(await current_policy(), "bad.example", 80)


async def test_a_resolved_connection_carries_the_policy(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "egress_deny", "203.0.113.0/24")
    tenant = await make_tenant()
    config = {"host": "db.example", "database": "d", "user": "u", "password": "p4ssword"}
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        made = await service.create("c", "postgres", config)
        saved = await resolve_connection(session, tenant.org_id, made.id)
    tried = await resolve_unsaved(tenant.org_id, "postgres", config)
    for resolved in (saved, tried):
        assert resolved.egress == await current_policy()
        assert resolved.egress.own

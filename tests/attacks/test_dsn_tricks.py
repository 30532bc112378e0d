"""libpq reads more into a host, a database name and a user than they say (trust T6).

``host`` may be a socket's folder, an abstract socket or a list; ``dbname`` may be a whole
connection string; ``service`` and ``passfile`` read files; ``hostaddr`` would unpin what was
judged. Every trick is tried where a connection is saved, where an engine parses it, and on what
libpq is finally given.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import make_dsn, parse_dsn

from datanika.contracts.catalog import connector_kind, validate_config
from datanika.contracts.steps import ResolvedConnection
from datanika.db import get_session
from datanika.engines.connectors.postgres import POSTGRES, PostgresConfig, PostgresTarget, locate
from datanika.engines.dlt_engine.destination import postgres_uri
from datanika.errors import EgressRefused, InvalidInput, TerminalStepError
from datanika.services.connection_service import ConnectionService
from tests.support.tenants import make_tenant
from tests.test_engines.steps import LOCAL

GOOD: dict[str, Any] = {
    "host": "127.0.0.1", "port": 5432, "database": "d", "user": "u", "password": "p4ssword",
    "sslmode": "prefer",
}  # fmt: skip

TRICKS: list[tuple[str, Any]] = [
    # a socket instead of a network
    ("host", "/var/run/postgresql"), ("host", "%2Fvar%2Frun%2Fpostgresql"), ("host", "@abstract"),
    ("host", ""), ("host", "."), ("host", " "), ("host", "C:\\sockets"),
    # several hosts, or a host with more behind it
    ("host", "good.example,127.0.0.1"), ("host", "good.example, evil.example"),
    ("host", "db:5433"), ("host", "db.example.com:5433"), ("host", "user@db.example.com"),
    ("host", "db.example.com user=postgres"), ("host", "db.example.com\tport=1"),
    ("host", "db.example.com?hostaddr=127.0.0.1"), ("host", "db.example.com/other"),
    ("host", "db.example.com\n"), ("host", "\ndb.example.com"), ("host", "db\x00.example.com"),
    ("host", "db'"), ("host", "db\\"), ("host", "[::1]"), ("host", "fe80::1%eth0"),
    ("host", "a" * 254),
    # a whole connection string as a database
    ("database", "dbname=x host=/tmp"), ("database", "postgresql://evil/x"),
    ("database", "postgres://evil/x"), ("database", "service=other"),
    ("database", "d hostaddr=1.2.3.4"),
    ("database", "d?host=/tmp"), ("database", "d&hostaddr=127.0.0.1"), ("database", "d#x"),
    ("database", "d\n"), ("database", "d\x00"), ("database", ""), ("database", "d/e"),
    ("database", "{{ env_var('HOME') }}"), ("database", "d%3Fhost%3D%2Ftmp"),
    ("database", "x" * 64),
    # a user that brings more along
    ("user", "u host=/tmp"), ("user", "u@evil"), ("user", "u:p@evil"), ("user", "u options=-cfoo"),
    ("user", "u\n"), ("user", "u'"), ("user", "{{ env_var('HOME') }}"), ("user", ""),
    # fields that nobody may set
    *(
        (name, "x")
        for name in (
            "service", "servicefile", "passfile", "hostaddr", "options", "sslkey", "sslcert",
            "sslrootcert", "sslcrl", "requirepeer", "krbsrvname", "gsslib", "gssencmode",
            "target_session_attrs", "load_balance_hosts", "channel_binding", "require_auth",
            "replication", "dsn", "dbname", "keepalives", "application_name", "url",
        )
    ),
    ("sslmode", "allow"), ("sslmode", "verify-full host=/tmp"), ("sslmode", ""),
    ("port", "5432,5433"),
    ("port", 0), ("port", 70000), ("port", "5432 host=/tmp"),
]  # fmt: skip
IDS = [f"{field}={value!r:.40}" for field, value in TRICKS]


def resolved(config: dict[str, Any]) -> ResolvedConnection:
    return ResolvedConnection(id=1, name="w", kind="postgres", config=config, egress=LOCAL)


def test_the_connection_without_a_trick_is_accepted() -> None:
    validate_config("postgres", GOOD)
    assert locate(resolved(GOOD)).address == "127.0.0.1"


@pytest.mark.parametrize(("field", "value"), TRICKS, ids=IDS)
def test_a_trick_is_refused_when_it_is_saved(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        validate_config("postgres", {**GOOD, field: value})
    assert refused.value.code == "connection_config_invalid"


@pytest.mark.parametrize(("field", "value"), TRICKS, ids=IDS)
def test_a_trick_that_was_stored_is_refused_by_the_engine(field: str, value: Any) -> None:
    with pytest.raises((TerminalStepError, EgressRefused)):
        locate(resolved({**GOOD, field: value}))


async def test_a_trick_does_not_get_into_the_database(database: str) -> None:
    tenant = await make_tenant()
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        kept = await service.create("good", "postgres", GOOD)
        for field, value in TRICKS:
            with pytest.raises(InvalidInput):
                await service.create("bad", "postgres", {**GOOD, field: value})
            with pytest.raises(InvalidInput):
                await service.update(kept.id, config={**GOOD, field: value})
        assert [one.name for one in (await service.list()).rows] == ["good"]


def test_the_schema_lists_what_may_be_said_and_no_more() -> None:
    schema = connector_kind("postgres").config_schema
    assert set(schema["properties"]) == set(GOOD)
    assert schema["additionalProperties"] is False


accepted = st.fixed_dictionaries(
    {
        "host": st.one_of(
            st.from_regex(r"[A-Za-z0-9._:@,/=-]{1,20}", fullmatch=True),
            st.ip_addresses().map(str),
            st.text(max_size=12),
        ),
        "port": st.integers(1, 65535),
        "database": st.text(min_size=1, max_size=20),
        "user": st.text(min_size=1, max_size=20),
        "password": st.text(st.characters(exclude_characters="\x00"), min_size=1, max_size=30),
        "sslmode": st.sampled_from(["disable", "prefer", "require", "verify-full"]),
    }
)


@given(accepted)
def test_what_is_accepted_is_to_libpq_exactly_what_it_says(config: dict[str, Any]) -> None:
    try:
        validate_config("postgres", config)
        parsed: PostgresConfig = POSTGRES.parse(resolved(config))
    except (InvalidInput, TerminalStepError):
        return
    address = "127.0.0.1"
    uri = postgres_uri(PostgresTarget(parsed, address), "app")
    # As the URI that dlt and ADBC get, and as the keywords that psycopg2 makes a string of.
    words = make_dsn(
        host=parsed.host, hostaddr=address, port=parsed.port, dbname=parsed.database,
        user=parsed.user, password=parsed.password, sslmode=parsed.sslmode,
    )  # fmt: skip
    for text in (uri, words):
        read = parse_dsn(text)
        expected = {
            **config, "port": str(config["port"]), "dbname": config["database"], "hostaddr": address
        }  # fmt: skip
        del expected["database"]
        assert {name: read[name] for name in expected} == expected
        assert set(read) - set(expected) <= {
            "application_name", "connect_timeout", "options", "passfile"
        }  # fmt: skip

"""The policy decides by where a name really leads."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datanika.contracts.egress import EgressPolicy, EgressRule, Networks, OwnService
from datanika.egress.addresses import AddressKind, kind_of
from datanika.egress.guard import EgressGuard
from datanika.errors import EgressRefused
from tests.support.canary import FakeDns
from tests.test_egress.test_addresses import v4, v6

NEVER = ["169.254.169.254", "169.254.1.1", "fe80::1", "fd00:ec2::254", "0.0.0.0", "::", "224.0.0.1",
         "ff02::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]  # fmt: skip


def policy(
    networks: str = "public", allow: str = "", deny: str = "", **more: object
) -> EgressPolicy:
    def rules(text: str) -> tuple[EgressRule, ...]:
        return tuple(EgressRule.parse(item) for item in text.split(",") if item)

    return EgressPolicy(networks=Networks(networks), allow=rules(allow), deny=rules(deny), **more)  # type: ignore[arg-type]


def allows(
    given: EgressPolicy,
    host: str,
    port: int = 5432,
    database: str | None = None,
    dns: FakeDns | None = None,
) -> bool:
    try:
        EgressGuard(given, dns or FakeDns()).check(host, port, database)
    except EgressRefused as refused:
        assert refused.hint
        return False
    return True


@given(v4 | v6)
def test_the_strict_policy_opens_public_addresses_only(address: ipaddress.IPv4Address) -> None:
    assert not allows(policy(), str(address))
    assert not allows(policy(), "x.example", dns=FakeDns(x_example=[["8.8.8.8", str(address)]]))


@given(st.ip_addresses())
def test_nothing_but_public_private_and_loopback_is_open_without_a_rule(
    address: ipaddress.IPv4Address,
) -> None:
    usual = (AddressKind.PUBLIC, AddressKind.PRIVATE, AddressKind.LOOPBACK)
    assert allows(policy("local"), str(address)) == (kind_of(address) in usual)


@pytest.mark.parametrize(
    ("address", "opened_by"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700::1111", "public"),
        ("10.0.0.1", "private"),
        ("172.31.0.1", "private"),
        ("192.168.0.1", "private"),
        ("fd12::1", "private"),
        ("127.0.0.1", "local"),
        ("::1", "local"),
        ("100.64.0.1", None),
        ("::ffff:10.0.0.1", None),
        ("64:ff9b::808:808", None),
        ("198.18.0.1", None),
    ],
)
def test_each_step_opens_what_it_says(address: str, opened_by: str | None) -> None:
    steps = [*Networks]
    first = steps.index(Networks(opened_by)) if opened_by else len(steps)
    opened = [allows(policy(step), address) for step in steps]
    assert opened == [number >= first for number in range(len(steps))]


@pytest.mark.parametrize("address", NEVER)
def test_no_rule_opens_link_local_metadata_or_no_place(address: str) -> None:
    everything = policy("local", allow="0.0.0.0/0,::/0,x.example")
    assert not allows(everything, address)
    assert not allows(everything, "x.example", dns=FakeDns(x_example=[[address]]))


def test_rules_open_and_refuse_by_network_name_and_port() -> None:
    rules = policy("public", allow="10.1.0.0/16,*.corp.example:443,127.0.0.1:5432,[::1]:5432")
    dns = FakeDns(a_corp_example=[["10.9.9.9"]], corp_example=[["10.9.9.9"]])
    assert allows(rules, "10.1.2.3")
    assert not allows(rules, "10.2.0.1")
    assert allows(rules, "a.corp.example", 443, dns=dns)
    assert not allows(rules, "a.corp.example", 80, dns=dns)
    assert not allows(rules, "corp.example", 443, dns=dns)
    assert allows(rules, "127.0.0.1", 5432)
    assert not allows(rules, "127.0.0.1", 5433)
    assert allows(rules, "::1", 5432)


def test_a_refusal_wins_over_a_permission() -> None:
    rules = policy("local", allow="10.0.0.0/8", deny="10.1.0.0/16,bad.example,8.8.8.8:53")
    assert allows(rules, "10.2.0.1")
    assert not allows(rules, "10.1.0.1")
    assert not allows(rules, "bad.example", dns=FakeDns(bad_example=[["8.8.4.4"]]))
    assert not allows(rules, "BAD.example.", dns=FakeDns(bad_example=[["8.8.4.4"]]))
    assert not allows(rules, "8.8.8.8", 53)
    assert not allows(rules, "::ffff:10.1.0.1")


def test_one_bad_address_among_good_ones_is_enough() -> None:
    dns = FakeDns(x_example=[["8.8.8.8", "10.0.0.1"]])
    assert not allows(policy("public"), "x.example", dns=dns)


def test_a_name_without_an_address_is_not_a_refusal() -> None:
    with pytest.raises(socket.gaierror):
        EgressGuard(policy(), lambda host, port: []).check("x.example", 1)


def test_the_addresses_that_were_judged_are_the_answer() -> None:
    dns = FakeDns(x_example=[["8.8.8.8", "2606:4700::1111"], ["127.0.0.1"]])
    assert EgressGuard(policy(), dns).check("x.example", 1) == ("8.8.8.8", "2606:4700::1111")
    assert dns.asked == ["x.example"]


@pytest.mark.parametrize(
    "text",
    ["10.0.0.0/33", "a b", "host:0", "host:70000", "host:5432/*", "user@host", "*", "", "1.2"],
)
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        EgressRule.parse(text)


class TestOwnServices:
    """Nobody reaches the platform itself, under whichever name or address."""

    own = (
        OwnService(
            host="db.internal",
            port=5432,
            addresses=("10.0.0.5",),
            databases=("datanika", "prefect"),
        ),
        OwnService(host="127.0.0.1", port=6380),
    )
    rules = policy(
        "local",
        allow="10.0.0.0/8,10.0.0.5:5432,db.internal,10.0.0.5:5432/wh_*,10.0.0.5:5432/prefect*",
        own=own,
        machine=("192.168.1.20",),
    )
    dns = FakeDns(
        db_internal=[["10.0.0.6"]], alias_example=[["10.0.0.5"]], elsewhere_example=[["10.0.0.6"]]
    )

    @pytest.mark.parametrize(
        "host",
        ["db.internal", "DB.INTERNAL.", "10.0.0.5", "10.0.0.6", "alias.example",
         "elsewhere.example", "::ffff:10.0.0.5"],
    )  # fmt: skip
    def test_its_database_server_is_refused_as_every_name_and_address(self, host: str) -> None:
        for database in (None, "datanika", "prefect", "other"):
            assert not allows(self.rules, host, 5432, database, self.dns)

    def test_another_port_of_that_machine_is_not_the_platforms(self) -> None:
        assert allows(self.rules, "10.0.0.5", 5433, dns=self.dns)

    def test_a_rule_with_a_database_opens_that_database_only(self) -> None:
        assert allows(self.rules, "10.0.0.5", 5432, "wh_acme", self.dns)
        assert not allows(self.rules, "10.0.0.5", 5432, "datanika", self.dns)
        assert not allows(self.rules, "10.0.0.5", 5432, None, self.dns)

    def test_a_rule_never_opens_the_platforms_databases(self) -> None:
        assert not allows(self.rules, "10.0.0.5", 5432, "prefect", self.dns)

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "192.168.1.20"])
    def test_what_listens_on_this_machine_is_refused_on_all_its_addresses(self, host: str) -> None:
        assert not allows(self.rules, host, 6380)
        assert allows(self.rules, host, 6379)

    def test_a_shared_proxy_can_be_opened_for_other_names(self) -> None:
        front = OwnService(host="pipelines.example", port=443, addresses=("8.8.8.8",), fronted=True)
        dns = FakeDns(
            pipelines_example=[["8.8.8.8"]], api_example=[["8.8.8.8"]], b_example=[["8.8.8.8"]]
        )
        rules = policy("local", allow="api.example:443,pipelines.example:443", own=(front,))
        assert allows(rules, "api.example", 443, dns=dns)
        assert not allows(rules, "b.example", 443, dns=dns)
        assert not allows(rules, "pipelines.example", 443, dns=dns)

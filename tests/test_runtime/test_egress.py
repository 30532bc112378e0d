"""What ``datanika up`` opens on its own machine: the demo's warehouse, and nothing of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from datanika.config import Settings
from datanika.contracts.egress import EgressPolicy
from datanika.egress.guard import EgressGuard
from datanika.errors import EgressRefused
from datanika.runtime import databases
from datanika.runtime.ports import Ports
from datanika.runtime.secrets import Secrets
from datanika.runtime.topology import Topology
from datanika.services.egress_policy import written_policy

PORTS = Ports()
SECRETS = Secrets.generate()
ELSEWHERE = {
    "database_url": "postgresql://app:x@db.invalid:5432/datanika",
    "redis_url": None,
    "prefect_api_url": None,
}


def policy_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **given: object) -> EgressPolicy:
    """As the web process of that platform makes it."""
    topology = Topology(tmp_path, Settings(_env_file=None, **given), PORTS, SECRETS)  # type: ignore[arg-type]
    for name, value in topology.environments.control_plane().items():
        monkeypatch.setenv(name, value)
    return written_policy(Settings(_env_file=None))


def reaches(policy: EgressPolicy, port: int, database: str | None = None) -> bool:
    try:
        EgressGuard(policy).check("127.0.0.1", port, database)
    except EgressRefused:
        with pytest.raises(EgressRefused):
            EgressGuard(policy).check("localhost", port, database)
        return False
    return True


@pytest.mark.parametrize(
    "given", [{}, ELSEWHERE, {"env": "production"}], ids=["all", "own", "prod"]
)
def test_of_the_embedded_server_only_the_demos_warehouse_is_open(
    given: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = policy_of(tmp_path, monkeypatch, **given)
    assert reaches(policy, PORTS.postgres, databases.DEMO_DB)
    closed = (databases.CONTROL_DB, databases.PREFECT_DB, "postgres", "template1", "other", None)
    for database in closed:
        assert not reaches(policy, PORTS.postgres, database)
    for port in (PORTS.web, PORTS.redis, PORTS.prefect):
        assert not reaches(policy, port)
        assert not reaches(policy, port, databases.DEMO_DB)


def test_a_database_on_the_laptop_is_open_but_not_in_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reaches(policy_of(tmp_path, monkeypatch), 5432, "mine")
    assert not reaches(policy_of(tmp_path, monkeypatch, env="production"), 5432, "mine")


def test_what_the_user_gave_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of(
        tmp_path,
        monkeypatch,
        egress_allow="10.9.0.0/16:5432",
        egress_deny="127.0.0.1:5432",
        egress_networks="public",
        egress_privileged_roles=True,
    )
    assert reaches(policy, PORTS.postgres, databases.DEMO_DB)
    assert not reaches(policy, 5432)
    assert policy.privileged_roles
    assert EgressGuard(policy).check("10.9.1.1", 5432) == ("10.9.1.1",)

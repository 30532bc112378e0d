"""Who is told what. A secret that a process does not need is not in its environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from dotenv import dotenv_values

from datanika.config import Settings
from datanika.errors import ConfigError
from datanika.runtime import databases
from datanika.runtime.environment import of_this_machine
from datanika.runtime.parts import Part
from datanika.runtime.platform import env_file
from datanika.runtime.ports import Ports
from datanika.runtime.secrets import Secrets
from datanika.runtime.topology import Topology

SECRETS = Secrets.generate()


@pytest.fixture(autouse=True)
def _no_outer_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "PREFECT_API_URL", "DATANIKA_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)


def topology(home: Path, **given: object) -> Topology:
    return Topology(home, Settings(_env_file=None, **given), Ports(), SECRETS)


def parts(home: Path, **given: object) -> dict[str, Part]:
    return {part.name: part for part in topology(home, **given).parts()}


def holds(part: Part, secret: str) -> bool:
    return any(secret in value for value in part.environment.values())


def test_the_worker_knows_no_database_and_no_key(tmp_path: Path) -> None:
    worker = parts(tmp_path)["worker"]
    assert not {"DATABASE_URL", "REDIS_URL", "DATANIKA_SECRET_KEY", "DATANIKA_ENCRYPTION_KEYS"} & (
        set(worker.environment)
    )
    needed = {SECRETS.worker_token, SECRETS.prefect_auth_string}
    for secret in set(vars(SECRETS).values()) - needed:
        assert not holds(worker, secret)
    assert all(holds(worker, secret) for secret in needed)


def test_postgres_and_redis_are_told_nothing(tmp_path: Path) -> None:
    for name in ("postgres", "redis"):
        for secret in vars(SECRETS).values():
            part = parts(tmp_path)[name]
            assert not holds(part, secret)
            assert secret not in " ".join(part.command)


def test_no_secret_is_on_a_command_line(tmp_path: Path) -> None:
    for part in parts(tmp_path).values():
        line = " ".join(part.launch_command(1))
        assert not [secret for secret in vars(SECRETS).values() if secret in line]


@pytest.mark.parametrize("name", ["web", "celery"])
def test_the_control_plane_is_not_the_owner_of_its_tables(name: str, tmp_path: Path) -> None:
    part = parts(tmp_path)[name]
    assert databases.APPLICATION in part.environment["DATABASE_URL"]
    # Also not through runtime.env, which it reads: the environment goes before it.
    assert part.environment["DATANIKA_DATABASE_ADMIN_URL"] == part.environment["DATABASE_URL"]
    for secret in (SECRETS.owner_password, SECRETS.postgres_password, SECRETS.prefect_password):
        assert not holds(part, secret)


def test_only_prefect_knows_its_database_and_its_key(tmp_path: Path) -> None:
    found = parts(tmp_path)
    for secret in (SECRETS.prefect_password, SECRETS.prefect_encryption_key):
        assert [name for name, part in found.items() if holds(part, secret)] == ["prefect"]


def test_the_build_of_the_front_end_gets_no_secret(tmp_path: Path) -> None:
    given = topology(tmp_path).environments.build()
    assert not [one for one in vars(SECRETS).values() if one in str(given)]


def test_what_the_caller_exports_stays_with_the_caller() -> None:
    outer = {"AWS_SECRET_ACCESS_KEY": "x", "PYTHONPATH": "/x", "PATH": "/bin", "HTTPS_PROXY": "p"}
    assert of_this_machine(outer) == {"PATH": "/bin", "HTTPS_PROXY": "p"}


def test_mail_and_login_settings_reach_the_control_plane_only(tmp_path: Path) -> None:
    found = parts(tmp_path, smtp_host="mail.example.com", smtp_password="it's", smtp_port=25)
    for name in ("web", "celery"):
        environment = found[name].environment
        assert environment["DATANIKA_SMTP_HOST"] == "mail.example.com"
        assert environment["DATANIKA_SMTP_PASSWORD"] == "it's"
        assert environment["DATANIKA_SMTP_PORT"] == "25"
        assert "DATANIKA_OIDC_ISSUER" not in environment
    assert [name for name, part in found.items() if holds(part, "it's")] == ["web", "celery"]


def test_given_servers_replace_the_embedded_ones(tmp_path: Path) -> None:
    given = {
        "database_url": "postgresql://a:b@db/x",
        "redis_url": "redis://r/0",
        "prefect_api_url": "http://prefect/api",
    }
    found = parts(tmp_path, **given)
    assert set(found) == {"web", "celery", "worker"}
    environment = found["web"].environment
    assert environment["DATABASE_URL"] == given["database_url"]
    assert environment["REDIS_URL"] == given["redis_url"]
    assert environment["PREFECT_API_URL"] == given["prefect_api_url"]
    assert topology(tmp_path, **given).demo_warehouse is None


def test_prefect_keeps_its_own_database_when_only_ours_was_given(tmp_path: Path) -> None:
    found = parts(tmp_path, database_url="postgresql://a:b@db/x")
    assert {"postgres", "prefect"} <= set(found)
    assert found["web"].environment["DATABASE_URL"] == "postgresql://a:b@db/x"


def test_runtime_env_is_read_back_as_it_was(tmp_path: Path) -> None:
    values = topology(tmp_path).values
    file = tmp_path / "runtime.env"
    file.write_text(env_file(values))
    assert dotenv_values(file) == values
    assert Settings(_env_file=file).require("secret_key") == SECRETS.secret_key


def test_a_value_that_would_break_the_file_is_refused() -> None:
    with pytest.raises(ConfigError):
        env_file({"REDIS_URL": "x'\nDATANIKA_ENV='development"})


def test_parts_stop_before_what_they_need(tmp_path: Path) -> None:
    order = {name: part.order for name, part in parts(tmp_path).items()}
    assert order["worker"] < order["web"] < order["prefect"] < order["redis"] < order["postgres"]

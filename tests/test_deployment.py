"""The deployment files say what the code does: settings, commands, ports, roles, networks."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from datanika.config import Settings
from datanika.execution.worker_settings import WorkerSettings
from datanika.runtime import environment as runtime
from datanika.runtime.ports import Ports
from datanika.runtime.prefect import PrefectServer
from datanika.runtime.secrets import Secrets
from datanika.runtime.topology import WORKER_STOP_SECONDS, Topology
from datanika.services.secret_references import ENV_PREFIX
from tests.support.application import application

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("datanika:")}
CONTROL_PLANE = ("web", "celery")
HOMES = {"DATANIKA_HOME", "PREFECT_HOME"}
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def load(path: Path) -> ModuleType:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load(ROOT / "docs/generate.py")
make_env = load(ROOT / "docker/make_env.py")
CONTROL_VARIABLES = set(generate.variables(Settings))
WORKER_VARIABLES = set(generate.variables(WorkerSettings))


def parts() -> dict[str, list[str]]:
    """Name -> command of what ``datanika up`` starts, with the addresses of a container."""
    ports = Ports(web=8000, prefect=4200, postgres=5432, redis=6379)
    given = Settings(_env_file=None, database_url=None, redis_url=None, prefect_api_url=None)
    topology = Topology(Path("/tmp/home"), given, ports, Secrets.generate())
    in_container = {sys.executable: "python", "127.0.0.1": "0.0.0.0"}
    return {
        part.name: [in_container.get(word, word) for word in part.command]
        for part in topology.parts()
    }


PARTS = parts()


def asked_for() -> set[str]:
    """Every variable that docker-compose.yml takes from .env."""
    return set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text("utf-8")))


def environment(service: str, values: dict[str, str]) -> dict[str, str]:
    """A service's environment with ``values`` filled in, as compose does it."""

    def filled(found: re.Match[str]) -> str:
        return values.get(found[1], "") if found[2] == "-" else values[found[1]]

    return {
        name: re.sub(r"\$\{(\w+):([?-])\}", filled, str(value))
        for name, value in SERVICES[service].get("environment", {}).items()
        # Without a value compose passes on what .env has.
        if value is not None
    }


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a .env that ``docker/make_env.py`` made."""
    file = tmp_path_factory.mktemp("env") / ".env"
    file.write_text(make_env.filled(EXAMPLE), "utf-8")
    return {name: value or "" for name, value in dotenv_values(file).items()}


class TestNetworks:
    def test_only_the_web_port_is_published(self) -> None:
        assert [name for name, one in SERVICES.items() if "ports" in one] == ["web"]

    @pytest.mark.parametrize("store", ["postgres", "redis"])
    def test_the_worker_cannot_reach_the_platforms_stores(self, store: str) -> None:
        assert not set(SERVICES["worker"]["networks"]) & set(SERVICES[store]["networks"])

    def test_the_stores_have_no_way_out(self) -> None:
        for store in ("postgres", "redis"):
            assert all(
                COMPOSE["networks"][name]["internal"] for name in SERVICES[store]["networks"]
            )

    def test_every_service_can_reach_what_it_names(self) -> None:
        for name, one in SERVICES.items():
            hosts = re.findall(r"(?:@|http://)(\w+):\d+", str(one.get("environment", "")))
            for host in set(hosts) - {"127"}:
                assert set(one["networks"]) & set(SERVICES[host]["networks"]), f"{name} -> {host}"


class TestSecrets:
    def test_every_variable_is_explained_in_the_example(self) -> None:
        assert asked_for() - {"DATANIKA_VERSION"} <= set(re.findall(r"(?m)^#?(\w+)=", EXAMPLE))
        needed = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text("utf-8")))
        assert needed <= set(re.findall(r"(?m)^(\w+)=", EXAMPLE))

    def test_no_secret_has_a_default(self) -> None:
        text = (ROOT / "docker-compose.yml").read_text("utf-8")
        with_default = set(re.findall(r"\$\{(\w+):-[^}]", text))
        allowed = {"DATANIKA_VERSION", "DATANIKA_PORT", "DATANIKA_PREFECT_RETENTION_DAYS"}
        assert with_default == allowed
        filled = {name for name, value in re.findall(r"(?m)^(\w+)=(.*)$", EXAMPLE) if value}
        assert filled == {"DATANIKA_PUBLIC_URL", "DATANIKA_PORT"}

    def test_every_setting_is_in_the_example(self) -> None:
        shown = set(re.findall(r"(?m)^#?([A-Z_]+)=", EXAMPLE))
        assert shown >= CONTROL_VARIABLES | WORKER_VARIABLES
        assert shown - CONTROL_VARIABLES - WORKER_VARIABLES <= asked_for()

    def test_the_example_shows_the_real_defaults(self) -> None:
        fields = {**generate.variables(WorkerSettings), **generate.variables(Settings)}
        for name, value in re.findall(r"(?m)^#([A-Z_]+)=(.+)$", EXAMPLE):
            if not re.search(r"://.*example\.com", value):
                assert str(fields[name].default) == value, name

    @pytest.mark.parametrize("service", CONTROL_PLANE)
    def test_a_generated_env_passes_the_production_check(
        self, service: str, generated: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in CONTROL_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in environment(service, generated).items():
            monkeypatch.setenv(name, value)
        settings = Settings(_env_file=None)
        assert settings.env == "production"
        settings.check_production()

    def test_generated_keys_are_fernet_keys(self, generated: dict[str, str]) -> None:
        from cryptography.fernet import Fernet

        Fernet(generated["PREFECT_SERVER_ENCRYPTION_KEY"])
        Fernet(generated["DATANIKA_ENCRYPTION_KEYS"].partition(":")[2])

    def test_two_installations_share_no_secret(self, generated: dict[str, str]) -> None:
        other = re.findall(r"(?m)^\w+=(.*)$", make_env.filled(EXAMPLE))
        assert set(generated.values()) & set(other) == {
            generated["DATANIKA_PUBLIC_URL"],
            generated["DATANIKA_PORT"],
        }


class TestEnvironments:
    @pytest.mark.parametrize("service", CONTROL_PLANE)
    def test_the_control_plane_gets_what_the_runtime_gives_it(self, service: str) -> None:
        here_only = {
            "DATANIKA_HOST", "DATANIKA_PORT", "DATANIKA_PREFECT_UI_URL",
            "DATANIKA_ENCRYPTION_KEYS_FILE",
        }  # fmt: skip
        given = set(SERVICES[service]["environment"])
        assert given == set(runtime.CONTROL_PLANE) - here_only | HOMES | set(runtime.GIVEN_BY_USER)

    def test_only_the_control_plane_gets_the_secrets_that_connections_refer_to(self) -> None:
        given = {name for name, one in SERVICES.items() if "secrets.env" in str(one)}
        assert given == set(CONTROL_PLANE)
        # Nobody has to have one, and no other file brings variables.
        for name, one in SERVICES.items():
            files = one.get("env_file", [])
            assert files == ([{"path": "secrets.env", "required": False}] if name in given else [])
        referred = {name for name in asked_for() if name.startswith(ENV_PREFIX)}
        assert referred <= CONTROL_VARIABLES

    def test_the_file_of_secrets_stays_out_of_git_and_of_the_image(self) -> None:
        assert "secrets.env" in (ROOT / ".gitignore").read_text("utf-8").split()
        ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
        assert ignored[0] == "*" and "!secrets.env" not in ignored

    def test_the_worker_gets_what_the_runtime_gives_it_and_no_key(self) -> None:
        given = set(SERVICES["worker"]["environment"])
        assert given == set(runtime.WORKER) | HOMES | {"DATANIKA_WORKER_STATUS_PORT"}
        assert given <= WORKER_VARIABLES | HOMES
        secret = {"DATABASE_URL", "REDIS_URL", "DATANIKA_SECRET_KEY", "DATANIKA_ENCRYPTION_KEYS"}
        assert not given & secret

    def test_the_jobs_get_what_the_runtime_gives_them(self) -> None:
        deploy = set(SERVICES["deploy"]["environment"])
        assert deploy == set(runtime.PREFECT_CLIENT) | {"PREFECT_HOME"}
        assert set(SERVICES["migrate"]["environment"]) <= set(runtime.MIGRATION)

    def test_only_the_migration_has_the_owners_password(self) -> None:
        holders = [name for name, one in SERVICES.items() if "OWNER_PASSWORD" in str(one)]
        assert holders == ["postgres", "migrate"]

    def test_prefect_is_set_up_as_in_the_embedded_runtime(self) -> None:
        server = PrefectServer(
            home=Path("/tmp/prefect"),
            port=4200,
            database_url="postgresql://prefect:${PREFECT_DB_PASSWORD:?}@postgres:5432/prefect",
            auth_string="${PREFECT_API_AUTH_STRING:?}",
            encryption_key="${PREFECT_SERVER_ENCRYPTION_KEY:?}",
            retention_days="${DATANIKA_PREFECT_RETENTION_DAYS:-30}",  # type: ignore[arg-type]
        )
        assert SERVICES["prefect"]["environment"] == server.environment()

    def test_internal_addresses_agree_with_the_ports(self) -> None:
        for name in (*CONTROL_PLANE, "worker"):
            given = SERVICES[name]["environment"]
            assert given["DATANIKA_INTERNAL_URL"].endswith(
                f":{Settings.model_fields['port'].default}"
            )
            assert given["PREFECT_API_URL"] == "http://prefect:4200/api"
        command = SERVICES["prefect"]["command"]
        assert command[command.index("--port") + 1] == "4200"

    def test_files_of_organisations_are_where_the_code_looks(self) -> None:
        for name in (*CONTROL_PLANE, "worker"):
            home = SERVICES[name]["environment"]["DATANIKA_HOME"]
            root = Settings(_env_file=None, home=Path(home)).org_root(1).parent
            assert f"orgs:{root}" in SERVICES[name]["volumes"]


class TestTopology:
    """Compose runs the processes of ``datanika up``, each by the same command."""

    def test_the_services_are_the_parts_of_the_runtime_and_its_jobs(self) -> None:
        assert set(SERVICES) == set(PARTS) | {"migrate", "deploy"}

    @pytest.mark.parametrize("part", sorted(set(PARTS) - {"postgres", "redis"}))
    def test_a_service_has_the_command_of_its_part(self, part: str) -> None:
        assert SERVICES[part]["command"] == PARTS[part]

    def test_networks_and_stop_times_leave_a_worker_its_grace(self) -> None:
        seconds = int(OURS["worker"]["stop_grace_period"].removesuffix("s"))
        assert seconds >= WORKER_STOP_SECONDS


class TestContainers:
    def test_what_must_be_ready_first_can_say_so(self) -> None:
        for one in SERVICES.values():
            for name, wanted in one.get("depends_on", {}).items():
                if wanted["condition"] == "service_healthy":
                    assert "healthcheck" in SERVICES[name], name
                else:
                    assert SERVICES[name]["restart"] == "no"

    @pytest.mark.parametrize("service", sorted(OURS))
    def test_our_containers_have_no_rights(self, service: str) -> None:
        one = OURS[service]
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]

    def test_health_is_asked_where_it_is_answered(self) -> None:

        asked = re.search(r"8000(/\w+)'", SERVICES["web"]["healthcheck"]["test"][-1])
        assert asked
        assert asked[1] in application().openapi()["paths"]

    def test_the_image_runs_the_python_of_the_project(self) -> None:
        version = (ROOT / ".python-version").read_text().strip()
        assert f"ARG PYTHON_VERSION={version}\n" in DOCKERFILE
        assert DOCKERFILE.count("FROM python:${PYTHON_VERSION}-slim") == 2

    def test_the_image_does_not_run_as_root(self) -> None:
        final = DOCKERFILE.rpartition("FROM ")[2]
        assert re.search(r"(?m)^USER datanika$", final)
        assert final.index("USER") < final.index("CMD")

    def test_the_image_installs_the_hashed_requirements(self) -> None:
        assert "uv pip install --require-hashes -r requirements.lock" in DOCKERFILE
        assert "uv pip install --no-deps ." in DOCKERFILE

    def test_the_image_exposes_the_web_port(self) -> None:
        assert f"EXPOSE {Settings.model_fields['port'].default}\n" in DOCKERFILE
        assert SERVICES["web"]["ports"][0].endswith(f":{Settings.model_fields['port'].default}")

    def test_the_build_sees_what_it_copies(self) -> None:
        allowed = re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text())
        for line in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", DOCKERFILE):
            for source in line.split():
                assert (ROOT / source).exists(), source
                assert source == "." or source in allowed, source
        assert all((ROOT / name).exists() for name in allowed)

    def test_the_image_has_the_version_of_the_package(self) -> None:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        assert {one["image"] for one in OURS.values()} == {
            f"datanika:${{DATANIKA_VERSION:-{version}}}"
        }


class TestJobTemplates:
    """Of work pools that start a container or a pod per run."""

    @pytest.mark.parametrize("kind", ["docker", "kubernetes"])
    def test_every_placeholder_is_a_variable_and_every_variable_is_used(self, kind: str) -> None:
        template = json.loads((ROOT / f"docker/job-templates/{kind}.json").read_text("utf-8"))
        used = set(re.findall(r"{{ (\w+) }}", json.dumps(template["job_configuration"])))
        assert used == set(template["variables"]["properties"])

    @pytest.mark.parametrize("kind", ["docker", "kubernetes"])
    def test_it_runs_one_command_and_holds_no_secret(self, kind: str) -> None:
        text = (ROOT / f"docker/job-templates/{kind}.json").read_text("utf-8")
        configuration = json.loads(text)["job_configuration"]
        assert configuration["command"] == "python -m datanika.execution.run"
        for name in ("DATANIKA_WORKER_TOKEN", "PREFECT_API_AUTH_STRING"):
            assert f'"{name}": ' not in text and f'"{name}", "value":' not in text

    def test_secrets_may_be_files(self, tmp_path: Path) -> None:
        (tmp_path / "DATANIKA_WORKER_TOKEN").write_text("from a file\n")
        (tmp_path / "PREFECT_API_AUTH_STRING").write_text("user:from a file\n")
        found = WorkerSettings(_secrets_dir=tmp_path)
        assert found.worker_token.get_secret_value() == "from a file"
        assert found.prefect_auth_string is not None
        assert found.prefect_auth_string.get_secret_value() == "user:from a file"

"""What a process behind the kernel's fence can still do: its own work, and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from datanika.contracts.steps import ResolvedConnection
from datanika.execution.fence import ports_of, version
from tests.test_engines.steps import duckdb, postgres

PROCESS = """
import sys
from pathlib import Path
from datanika.contracts.steps import ResolvedConnection
from datanika.execution.fence import enclose
folder, connection, code = sys.argv[1:]
enclose(Path(folder), [ResolvedConnection.model_validate_json(connection)])
exec(code)
"""


@dataclass
class Place:
    """A platform's data folder, with a process's own folder and its organisation's in it."""

    home: Path
    port: int

    @property
    def folder(self) -> Path:
        return self.home / "work" / "step"

    @property
    def root(self) -> Path:
        return self.home / "orgs" / "1"

    def run(
        self, code: str, connection: ResolvedConnection | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Python behind the fence of a step with this connection; a local one unless given."""
        chosen = connection or duckdb(self.root)
        text = code.format(
            home=self.home, root=self.root, folder=self.folder, port=self.port, pid=os.getpid()
        )
        return subprocess.run(
            [sys.executable, "-c", PROCESS, str(self.folder), chosen.model_dump_json(), text],
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Place(tmp_path, server.getsockname()[1])
        for folder in (made.folder, made.root, tmp_path / "orgs" / "2", tmp_path / "parsed"):
            folder.mkdir(parents=True)
        (tmp_path / "parsed" / "an.entry").write_text("somebody's")
        (tmp_path / "keys").write_text("the platform's")
        yield made


def test_this_kernel_has_the_fence() -> None:
    """Where it has not, the tests below prove nothing: CI has to run where it has."""
    assert version() >= 6


@pytest.mark.parametrize(
    "code",
    [
        "open('{home}/keys').read()",
        "open('{home}/keys', 'a')",
        "open('{home}/evil.py', 'w')",
        "open('{home}/orgs/2/orders.csv', 'w')",
        "__import__('os').listdir('{home}')",
        "__import__('os').truncate('{home}/keys', 0)",
        "__import__('os').rename('{folder}', '{home}/orgs/2/step')",
        "__import__('os').symlink('{home}/keys', '{home}/orgs/2/link')",
        "open('{home}/parsed/an.entry').read()",
        "open('{home}/parsed/an.entry', 'a')",
        "open('{home}/parsed/other.entry', 'w')",
        "__import__('os').listdir('{home}/parsed')",
        "open('/etc/shadow').read()",
        "open('/proc/{pid}/environ').read()",
        "open('/proc/{pid}/mem', 'rb').read(1)",
        "__import__('os').kill({pid}, 18)",
        "__import__('os').chown('{root}', 12345, 12345)",
        "__import__('os').setuid(12345)",
        "__import__('socket').create_connection(('127.0.0.1', {port}), 3)",
        "__import__('socket').socket().bind(('127.0.0.1', 0))",
        "__import__('subprocess').run(['/bin/cat', '{home}/keys'], check=True)",
    ],
)
def test_what_is_not_its_own_is_out_of_reach(place: Place, code: str) -> None:
    done = place.run(code)
    assert done.returncode == 1
    assert "PermissionError" in done.stderr or "CalledProcessError" in done.stderr, done.stderr
    assert (place.home / "keys").read_text() == "the platform's"


@pytest.mark.parametrize(
    "code",
    [
        "open('{folder}/note', 'w').write('x')",
        "open('{root}/warehouse', 'w').write('x')",
        "import ssl; ssl.create_default_context()",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import multiprocessing; multiprocessing.Lock()",
        "import zoneinfo; zoneinfo.ZoneInfo('Europe/Athens')",
        "__import__('subprocess').run(['/bin/true'], check=True)",
    ],
)
def test_its_own_work_goes_on(place: Place, code: str) -> None:
    done = place.run(code)
    assert done.returncode == 0, done.stderr


def test_an_organisation_without_a_folder_gets_one(place: Place) -> None:
    first = duckdb(place.home / "orgs" / "3")
    done = place.run("__import__('os').makedirs('{home}/orgs/3/warehouse')", first)
    assert done.returncode == 0, done.stderr


def test_a_step_connects_to_its_connections_port_only(place: Place) -> None:
    code = "__import__('socket').create_connection(('127.0.0.1', {port}), 3)"
    ours = postgres({"host": "127.0.0.1", "port": place.port})
    other = postgres({"host": "127.0.0.1", "port": place.port + 1})
    assert place.run(code, ours).returncode == 0
    assert "PermissionError" in place.run(code, other).stderr


def test_ports_that_only_the_egress_policy_knows_are_not_fenced() -> None:
    api = ResolvedConnection(id=4, name="api", kind="rest_api", config={})
    assert ports_of([api, postgres({})]) is None
    assert ports_of([postgres({})]) == {53, 5432}

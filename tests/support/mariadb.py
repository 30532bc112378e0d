"""A MariaDB server in a temporary folder; needs Debian's mariadb-server-core and -client."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from tests.support.net import free_port

PASSWORD = "ma5iadb-canary"


class MariaDb:
    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def config(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1", "port": self.port, "database": "shop", "user": "loader",
            "password": PASSWORD, "tls": "disable",
        }  # fmt: skip

    def run(self, *statements: str, database: str | None = "shop") -> None:
        with self._admin(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def _admin(self, database: str | None) -> Any:
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, charset="utf8mb4"
        )


def installed() -> bool:
    return bool(
        shutil.which("mariadbd")
        and shutil.which("mariadb-install-db")
        and shutil.which("my_print_defaults")
    )


@contextmanager
def mariadb_server(folder: Path) -> Iterator[MariaDb]:
    """Started with a database ``shop`` and a user ``loader``; it ends with the context."""
    data, port = folder / "data", free_port()
    user = f"--user={getpass.getuser()}"
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={data}", user, "--skip-test-db",
         "--auth-root-authentication-method=normal"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    process = subprocess.Popen(
        ["mariadbd", "--no-defaults", f"--datadir={data}", user, f"--port={port}",
         "--bind-address=127.0.0.1", f"--socket={folder}/s", "--skip-name-resolve",
         "--innodb-buffer-pool-size=32M", "--sql-mode="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    server = MariaDb(port)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                server.run("SELECT 1", database=None)
                break
            except pymysql.Error:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        server.run(
            "CREATE DATABASE shop CHARACTER SET utf8mb4",
            f"CREATE USER loader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            "GRANT SELECT ON shop.* TO loader@'127.0.0.1'",
            database=None,
        )
        yield server
    finally:
        process.terminate()
        process.wait(30)

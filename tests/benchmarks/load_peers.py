"""The loaders that ours is compared with, each in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from datanika.runtime.postgres import bin_dir

_WANTED = {
    "sling": ("sling==1.4.11", "sling-linux-amd64==1.4.11"),
    "ingestr": ("ingestr==0.15.9",),
    "tpch": ("tpchgen-cli",),
}


@dataclass(frozen=True)
class Peers:
    """Programs of the peers' environments, and PostgreSQL's own."""

    folder: Path

    @property
    def psql(self) -> str:
        return str(bin_dir() / "psql")

    @property
    def sling(self) -> str:
        return str(self.folder / "sling" / "bin" / "sling")

    @property
    def ingestr(self) -> str:
        return str(self.folder / "ingestr" / "bin" / "ingestr")

    @property
    def tpchgen(self) -> str:
        return str(self.folder / "tpch" / "bin" / "tpchgen-cli")

    def environment(self) -> dict[str, str]:
        """Nothing of ours, no telemetry, no download."""
        found = "lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"
        [binary] = (self.folder / "sling").glob(found)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "SLING_BINARY": str(binary),
            "SLING_DISABLE_TELEMETRY": "true",
            "INGESTR_DISABLE_TELEMETRY": "true",
            "DISABLE_TELEMETRY": "true",
        }


def install(folder: Path) -> Peers:
    """Make the environments that are missing; their bytecode is compiled, as ours is."""
    (folder / "home").mkdir(parents=True, exist_ok=True)
    for name, packages in _WANTED.items():
        place = folder / name
        done = place / "installed"
        if done.exists():
            continue
        shutil.rmtree(place, ignore_errors=True)
        uv = [sys.executable, "-m", "uv"] if shutil.which("uv") is None else ["uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
        subprocess.run(
            [
                *uv, "pip", "install", "--quiet", "--compile-bytecode",
                "--python", str(place / "bin" / "python"), *packages,
            ],
            check=True,
        )  # fmt: skip
        done.touch()
    return Peers(folder)

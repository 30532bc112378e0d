"""The built front end: where it is, whether it is current, and how it is made.

A build belongs to the content it was made from, so an upgraded platform builds once and an
unchanged one never. About 15 s, npm's downloads included (docs/adr/0007-one-port-web.md).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from datanika.config import data_home
from datanika.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent
_SOURCES = (_PACKAGE, _PACKAGE.parent / "i18n", _PACKAGE.parent / "datanika.py")
_DONE = "complete"
_RXCONFIG = '"""Written with the build."""\n\nfrom datanika.ui.reflex_config import config\n'


def lock_folder() -> Path:
    """``reflex.lock/``, beside the package in a clone and in a wheel."""
    folder = _PACKAGE.parent.parent / "reflex.lock"
    if folder.is_dir():
        return folder
    raise ConfigError("reflex.lock is missing.", hint="Reinstall Datanika, or restore the folder.")


def source_hash() -> str:
    """What a build was made from: the sources, the locked packages and Reflex. 16 hex digits."""
    digest = hashlib.sha256(f"reflex {version('reflex')}".encode())
    for root in (*_SOURCES, lock_folder()):
        files = [root] if root.is_file() else sorted(root.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"\0{file.relative_to(root.parent).as_posix()}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def frontend_dir() -> Path:
    """Where the current build is or will be: ``DATANIKA_UI_DIR``, else in the data folder."""
    given = os.environ.get("DATANIKA_UI_DIR")
    return Path(given) / source_hash() if given else data_home() / "ui" / source_hash()


def frontend_is_current(target_dir: Path) -> bool:
    """Whether ``target_dir`` holds a finished build of the present sources. Cheap: no Reflex."""
    done = target_dir / _DONE
    return done.is_file() and done.read_text("ascii") == source_hash()


def static_dir(target_dir: Path) -> Path:
    """The files a browser gets."""
    return target_dir / ".web" / "build" / "client"


def build_frontend(target_dir: Path) -> None:
    """Build into ``target_dir``, replacing what is there. Older builds beside it are removed.

    Raises :class:`ConfigError` with the last lines of the build's output.
    """
    from datanika.ui.node import use_bundled_node

    target_dir.parent.mkdir(parents=True, exist_ok=True)
    use_bundled_node(target_dir.parent / "node")
    with tempfile.TemporaryDirectory(prefix="build-", dir=target_dir.parent) as folder:
        app_root = Path(folder) / "app"
        app_root.mkdir()
        (app_root / "rxconfig.py").write_text(_RXCONFIG, "utf-8")
        shutil.copytree(lock_folder(), app_root / "reflex.lock")
        _export(app_root)
        # 130 MB of packages are of no use any more.
        for path in (app_root / ".web").iterdir():
            if path.name not in ("build", "backend"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(app_root / ".web" / "build" / "server", ignore_errors=True)
        (app_root / _DONE).write_text(source_hash(), "ascii")
        shutil.rmtree(target_dir, ignore_errors=True)
        app_root.rename(target_dir)
    for other in target_dir.parent.iterdir():
        if other != target_dir and (other / _DONE).is_file():
            shutil.rmtree(other, ignore_errors=True)


def _export(app_root: Path) -> None:
    """Run ``reflex export`` in ``app_root``, with settings that need no platform."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(
            [str(_PACKAGE.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
        "REFLEX_ENV_MODE": "prod",
        "REFLEX_TELEMETRY_ENABLED": "false",
        "REFLEX_CHECK_LATEST_VERSION": "false",
    }
    done = subprocess.run(
        [sys.executable, "-m", "reflex", "export", "--frontend-only", "--no-zip"],
        cwd=app_root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode or not static_dir(app_root).is_dir():
        raise ConfigError(
            "The front end could not be built:\n" + "\n".join(done.stdout.splitlines()[-25:]),
            code="ui_build_failed",
            hint="It needs the npm registry once: check `npm config get registry` and the network.",
        )

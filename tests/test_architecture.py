"""The rules of the code base that no single module can promise for itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCK_FILES = ("requirements.lock", "reflex.lock/")

HEAVY = {
    "alembic", "asyncpg", "celery", "dbt", "dlt", "duckdb", "fastapi", "pandas", "prefect",
    "pyarrow", "reflex", "sqlalchemy", "starlette",
}  # fmt: skip


@cache
def tracked() -> dict[str, str]:
    """Path -> text of every text file in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    files = {}
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                files[name] = content.decode("utf-8")
    return files


def written_by_people() -> dict[str, str]:
    """The tracked files without the generated lock files."""
    return {name: text for name, text in tracked().items() if not name.startswith(LOCK_FILES)}


def places(pattern: str, files: dict[str, str]) -> list[str]:
    """``path:line: text`` of every line that matches."""
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_imports_follow_the_layer_picture() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_pages_ask_services_not_the_database() -> None:
    """A query has its organisation's filter in a service, where the isolation tests find it."""
    pages = {name: text for name, text in tracked().items() if name.startswith("datanika/ui/")}
    asked = places(r"^\s*(from|import) sqlalchemy", pages)
    assert [line for line in asked if not line.endswith(" import AsyncSession")] == []
    assert asked


def test_no_package_is_missing_from_the_layer_picture() -> None:
    drawn = {
        name.strip()
        for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
        for layer in contract["layers"]
        for name in re.split(r"[|:]", layer)
    }
    modules = {
        f"datanika.{path.stem}"
        for path in (ROOT / "datanika").iterdir()
        if (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem != "__init__")
    }
    assert modules | {"flows"} == drawn


def test_nothing_in_the_data_plane_reads_the_platforms_settings() -> None:
    """``datanika.config`` also reads ``.env`` and ``runtime.env``, where the keys are."""
    wing = {
        name: text
        for name, text in tracked().items()
        if name.startswith(("flows/", "datanika/execution/", "datanika/engines/"))
    }
    assert wing
    assert places(r"^\s*(from datanika\.config import|import datanika\.config)", wing) == []


def test_the_command_line_starts_without_heavy_imports() -> None:
    """``datanika --help`` within half a second: no library that takes longer to import alone."""
    script = (
        "import sys\n"
        "from datanika.cli.main import main\n"
        "sys.argv = ['datanika', '--help']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    loaded = set(shown.stdout.rpartition("LOADED")[2].split())
    assert "datanika" in loaded
    assert loaded & HEAVY == set()


def test_no_tracked_file_is_empty() -> None:
    """An empty file says that something is there which is not; a package says what it is."""
    assert [name for name, text in tracked().items() if not text.strip()] == []


def test_nothing_is_left_to_do_in_the_code() -> None:
    marks = "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3 + ":"])
    code = {name: text for name, text in tracked().items() if name.endswith(".py")}
    assert places(rf"\b({marks})\b", code) == []


def test_no_file_names_the_machine_it_was_written_on() -> None:
    paths = "|".join(["/ro" + "ot/", "/wo" + "rk/main", "/wo" + "rk/shared", "/opt/" + "pypi"])
    assert places(rf"({paths})", tracked()) == []


@pytest.mark.parametrize(
    "host", ["pypi." + "org", "files.python" + "hosted.org", "registry.npm" + "js.org"]
)
def test_no_file_names_a_package_registry(host: str) -> None:
    assert places(re.escape(host), tracked()) == []
    assert places(r"(--index-url|--find-links|resolved\"?: )", tracked_locks()) == []


def tracked_locks() -> dict[str, str]:
    """The generated lock files."""
    return {name: text for name, text in tracked().items() if name.startswith(LOCK_FILES)}


@pytest.mark.parametrize(
    "shape",
    [
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
        r"\bdnk_[A-Za-z0-9_-]{24,}",
        r"\bAKIA[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
        r"(?<![\w/+-])[A-Za-z0-9_-]{43}=(?![\w=])",
    ],
    ids=["private key", "JWT", "API key", "AWS key", "GitHub token", "Fernet key"],
)
def test_no_file_holds_a_secret(shape: str) -> None:
    assert places(shape, written_by_people()) == []


def test_files_that_belong_to_one_machine_are_not_tracked() -> None:
    ours = re.compile(r"(^|/)(\.env|uv\.lock|\.venv/.*|\.web/.*|node_modules/.*|__pycache__/.*)$")
    assert [name for name in tracked() if ours.search(name)] == []


@pytest.mark.parametrize("package", sorted(
    path.name for path in (ROOT / "datanika").iterdir() if (path / "__init__.py").is_file()
))  # fmt: skip
def test_every_package_has_its_tests(package: str) -> None:
    """``datanika/services`` is tested in ``tests/test_services``, and so on."""
    assert list((ROOT / "tests" / f"test_{package}").rglob("test_*.py"))


def test_every_test_folder_mirrors_a_package() -> None:
    folders = {path.name.removeprefix("test_") for path in (ROOT / "tests").glob("test_*/")}
    packages = {path.name for path in (ROOT / "datanika").iterdir() if path.is_dir()}
    assert folders - packages - {"flows", "migrations"} == set()


@pytest.mark.parametrize(
    "service", sorted(path.stem for path in (ROOT / "datanika/services").glob("*_service.py"))
)
def test_every_service_has_a_test_file_of_its_name(service: str) -> None:
    assert (ROOT / f"tests/test_services/test_{service}.py").is_file()


def test_the_hashed_requirements_satisfy_the_project() -> None:
    """``requirements.lock`` is what images install: ``poe lock`` after a change of the bounds."""
    text = tracked()["requirements.lock"]
    pins = {
        Requirement(line.rstrip("\\ ")).name.lower(): line
        for line in text.splitlines()
        if "==" in line and not line.startswith(" ")
    }
    for wanted in map(Requirement, PYPROJECT["project"]["dependencies"]):
        line = pins.get(wanted.name.lower())
        assert line, f"{wanted.name} is not in requirements.lock"
        pinned = next(iter(Requirement(line.rstrip("\\ ")).specifier)).version
        assert wanted.specifier.contains(Version(pinned), prereleases=True), f"{wanted} != {pinned}"
    assert text.count("==") <= text.count("\\\n"), "a pin without a hash"

"""The documentation points at things that exist, and its generated pages are current."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TASKS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["poe"]["tasks"]


def generator() -> ModuleType:
    """``docs/generate.py`` as a module."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(page: Path) -> list[str]:
    """Every line of the page's shell blocks, without comments; continued lines are joined."""
    blocks = re.findall(r"(?ms)^```bash\n(.*?)^```", page.read_text("utf-8"))
    joined = "".join(blocks).replace("\\\n", " ")
    return [line.partition(" #")[0].strip() for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize("name", generator().PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    """Run ``uv run poe docs`` when this fails."""
    assert (ROOT / "docs/reference" / name).read_text("utf-8") == generator().render(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    missing = [
        link for link in links if "://" not in link and not (page.parent / link).resolve().exists()
    ]
    assert missing == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text("utf-8")):
            if "://" not in link:
                todo.append((page.parent / link).resolve())
    assert {page.relative_to(ROOT) for page in PAGES} - {
        p.relative_to(ROOT) for p in reached
    } == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_ours_exists(page: Path) -> None:
    """``datanika X`` is a command of the CLI, ``poe X`` a task, a script a file."""
    from typer.main import get_command

    from datanika.cli.main import app

    known = set(get_command(app).list_commands(None))  # type: ignore[attr-defined]
    for line in commands(page):
        words = re.sub(r"&&|[()]", " ", line).split()
        for before, word in zip(words, words[1:], strict=False):
            if before == "datanika" and word.isalpha():
                assert word in known, line
            if before == "poe" and word.isalpha():
                assert word in TASKS, line
            if before.startswith("python"):
                assert word.startswith("-") or (ROOT / word).is_file(), line


def test_ci_runs_what_the_readme_says() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    assert 'step "tests" uv run pytest\n' in script
    assert "uv run pytest" in commands(ROOT / "README.md")


@pytest.mark.parametrize("task", TASKS)
def test_every_daily_task_says_what_it_does(task: str) -> None:
    assert TASKS[task]["help"]

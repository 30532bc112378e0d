"""The built front end: current only for its sources, same origin, a strict policy, no addresses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from datanika.errors import ConfigError
from datanika.ui import frontend as built
from datanika.ui.headers import content_security_policy
from datanika.ui.reflex_config import SameOrigin
from datanika.ui.serve import create_asgi
from datanika.ui.sockets import is_same_origin
from datanika.ui.state.session import page_after_login
from tests.support.web import Web


def test_a_build_belongs_to_the_sources_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "page.py"
    source.write_text("one")
    monkeypatch.setattr(built, "_SOURCES", (source,))
    first = built.source_hash()
    (tmp_path / built._DONE).write_text(first)
    assert built.frontend_is_current(tmp_path)
    source.write_text("two")
    assert built.source_hash() != first
    assert not built.frontend_is_current(tmp_path)


def test_a_build_installs_nothing_that_is_not_locked(frontend: Path) -> None:
    """Reflex installs what a component asks for beside the lock, and writes it into its copy."""
    used = frontend / built.source_hash() / "reflex.lock" / "package.json"
    locked = built.lock_folder() / "package.json"
    assert json.loads(used.read_text("utf-8")) == json.loads(locked.read_text("utf-8"))


def test_serving_without_a_build_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATANIKA_UI_DIR", str(tmp_path))
    with pytest.raises(ConfigError) as refused:
        create_asgi()
    assert refused.value.code == "ui_not_built"
    assert "datanika.ui.serve build" in (refused.value.hint or "")


def test_the_lock_names_no_registry() -> None:
    folder = built.lock_folder()
    lock = json.loads((folder / "package-lock.json").read_text("utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 50
    assert all("resolved" not in entry and entry.get("integrity") for entry in packages.values())
    assert "@xyflow/react" in (folder / "package.json").read_text("utf-8")


def test_a_page_talks_to_where_it_was_loaded_from(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    script = tmp_path / "assets" / "reflex-env-x.js"
    script.write_text(
        "var e={PING:`http://localhost:8000/ping`,EVENT:'ws://localhost:8000/_event'}"
    )
    SameOrigin().post_build(static_dir=tmp_path)
    assert script.read_text() == (
        'var e={PING:(window.location.origin+"/ping"),'
        'EVENT:(window.location.origin.replace(/^http/,"ws")+"/_event")}'
    )
    with pytest.raises(RuntimeError):
        SameOrigin().post_build(static_dir=tmp_path)


def test_the_policy_names_every_inline_script_and_allows_no_other(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script>go()</script><script src="/a.js"></script>')
    policy = content_security_policy(tmp_path)
    scripts = re.search(r"script-src ([^;]*)", policy)
    assert scripts is not None
    # printf 'go()' | openssl dgst -sha256 -binary | base64
    assert scripts[1] == "'self' 'sha256-5KYv+PUboo5h+0+YAtGRPbwv5d/QxzHslP4YGnUaxRw='"
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://app.example:8000", True),
        ("https://app.example:8000", True),
        ("http://app.example:9000", False),
        ("https://evil.example", False),
        ("null", False),
        (None, True),
    ],
)
def test_only_pages_of_this_site_open_the_websocket(
    origin: str | None, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFLEX_ENV_MODE", "prod")
    assert is_same_origin(origin, {"HTTP_HOST": "app.example:8000"}) is allowed


@pytest.mark.parametrize(
    ("path", "safe"),
    [
        ("/runs/3", "/runs/3"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/login?next=/", "/"),
    ],
)
def test_login_leads_only_to_this_site(path: str, safe: str) -> None:
    assert page_after_login(path) == safe


async def test_one_port_serves_pages_api_and_security_headers(web: Web) -> None:
    async with httpx.AsyncClient(base_url=web.url) as client:
        page = await client.get("/")
        assert page.status_code == 200 and "<title>" in page.text
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in page.headers
        missing = await client.get("/api/v1/nothing", headers={"Origin": "https://evil.example"})
        assert missing.status_code == 404
        assert missing.headers["content-type"] == "application/problem+json"
        assert "access-control-allow-origin" not in missing.headers
        asset = re.search(r'"(/assets/[^"]+\.js)"', page.text)
        assert asset is not None
        script = await client.get(asset[1])
        assert "immutable" in script.headers["cache-control"]
        config = next(path for path in re.findall(r"/assets/reflex-env-[^\"]+\.js", page.text))
        assert "localhost" not in (await client.get(config)).text

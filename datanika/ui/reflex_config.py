"""Reflex's configuration, for ``rxconfig.py`` in the repository and in a built front end."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import reflex as rx
from reflex.plugins import Plugin, SitemapPlugin

DEV_ORIGINS = ("http://localhost:3000", "http://127.0.0.1:3000")
# A minifier may write the address with any of the three quotes.
_BACKEND_ADDRESS = re.compile(
    r"""(["'`])(http|ws)s?://(?:localhost|127\.0\.0\.1):\d+(/[^"'`]*)\1"""
)


class SameOrigin(Plugin):
    """Makes a built front end talk to wherever it was loaded from.

    Reflex bakes the back end's address and port into the bundle, but those are only known when
    the platform starts, and the same build serves them all.
    """

    def post_build(self, *, static_dir: Path, **_: Any) -> None:
        """Rewrite the addresses; raises RuntimeError when Reflex no longer writes them so."""
        rewritten = 0
        for script in (static_dir / "assets").glob("reflex-env-*.js"):
            text = script.read_text("utf-8")
            text, count = _BACKEND_ADDRESS.subn(_same_origin, text)
            script.write_text(text, "utf-8")
            rewritten += count
        if not rewritten:
            raise RuntimeError("The front end's back-end address was not found to be rewritten.")


def _same_origin(match: re.Match[str]) -> str:
    scheme, path = match[2], match[3]
    origin = "window.location.origin"
    if scheme == "ws":
        origin += '.replace(/^http/,"ws")'
    return f'({origin}+"{path}")'


def is_development() -> bool:
    """Whether ``reflex run`` serves the front end from its own development server."""
    return os.environ.get("REFLEX_ENV_MODE", "dev") == "dev"


config = rx.Config(
    app_name="datanika",
    telemetry_enabled=False,
    show_built_with_reflex=False,
    default_color_mode="system",
    frontend_lazy_bundled_libraries=True,
    plugins=[SameOrigin()],
    disable_plugins=[SitemapPlugin],
    state_manager_mode="memory",
    cors_allowed_origins=DEV_ORIGINS if is_development() else (),
    backend_host="127.0.0.1",
)

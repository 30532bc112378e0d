"""UI and API as one ASGI application on one port, from a built front end.

    uvicorn --factory datanika.ui.serve:create_asgi
    python -m datanika.ui.serve build

Serving needs no Node. Exactly one process serves: the states of the open pages are in its memory.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from datanika.config import settings
from datanika.errors import ConfigError
from datanika.ui.frontend import build_frontend, frontend_dir, frontend_is_current, static_dir

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def create_asgi() -> ASGIApp:
    """The application; raises :class:`ConfigError` when the front end was not built.

    Changes the working directory: Reflex takes it for the root of the application.
    """
    settings.check_production()
    root = frontend_dir()
    if not frontend_is_current(root):
        raise ConfigError(
            "The front end is not built for this version.",
            code="ui_not_built",
            hint="Run `python -m datanika.ui.serve build` (`datanika up` does it by itself).",
        )
    os.chdir(root)
    os.environ |= {
        "REFLEX_ENV_MODE": "prod",
        "REFLEX_BACKEND_ONLY": "true",
        "__REFLEX_MOUNT_FRONTEND_COMPILED_APP": "true",
        "__REFLEX_SKIP_COMPILE": "true",
    }
    from datanika.datanika import app
    from datanika.ui.failures import FailurePages
    from datanika.ui.headers import SecurityHeaders, content_security_policy

    application = SecurityHeaders(FailurePages(app()), content_security_policy(static_dir(root)))
    # All that was imported stays: the collector would look through it again and again, 0.1 s long.
    gc.collect()
    gc.freeze()
    return application


def main(arguments: list[str]) -> int:
    """``build``: make the front end unless it is current."""
    if arguments != ["build"]:
        sys.stderr.write("usage: python -m datanika.ui.serve build\n")
        return 2
    target = frontend_dir()
    if not frontend_is_current(target):
        try:
            build_frontend(target)
        except ConfigError as error:
            sys.stderr.write(f"{error}\n{error.hint or ''}\n")
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

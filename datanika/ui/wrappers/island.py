"""What components that speak to the API by themselves share: ``import … from ISLAND``.

They send the session's cookie, pause while nobody looks, and go to the login when it has ended.
"""

from __future__ import annotations

import reflex as rx

ISLAND = str(rx.asset("island.js", shared=True).importable_path)
rx.asset("rest.js", shared=True)

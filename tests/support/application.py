"""The API's application, made once a test process: it keeps nothing between requests."""

from __future__ import annotations

from functools import cache

from datanika.api.app import create_app

application = cache(create_app)

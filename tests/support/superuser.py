"""The test database as its superuser sees it: for what no login of the platform may do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import make_url

from datanika.config import settings


def superuser_url(admin_url: str, database: str | None = None) -> str:
    """``admin_url`` of the server, in ``database`` or in the one of the ``database`` fixture."""
    name = database or make_url(settings.require("database_url")).database
    url = make_url(admin_url).set(drivername="postgresql", database=name)
    return url.render_as_string(hide_password=False)


@contextmanager
def superuser(admin_url: str, database: str | None = None) -> Iterator[Any]:
    """A cursor that commits each statement."""
    connection = psycopg2.connect(superuser_url(admin_url, database))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()

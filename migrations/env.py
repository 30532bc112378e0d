"""Alembic's environment: one connection as the owner, one migration run at a time."""

from __future__ import annotations

from logging.config import fileConfig
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from datanika.config import settings
from datanika.errors import ConfigError
from datanika.models import Base
from migrations.helpers import PUBLIC_TABLES

# Any number will do, as long as every migration run takes the same one.
ONE_RUN_AT_A_TIME = 7_262_011
# A migration that cannot get its lock fails and is run again; without this it would queue every
# query of the running application behind itself.
LOCK_TIMEOUT = "10s"


def include_name(name: str | None, type_: str, parent_names: Any) -> bool:
    """Only the platform's own tables take part in comparisons."""
    return type_ != "table" or name in PUBLIC_TABLES


def configure(**where: Any) -> None:
    context.configure(
        target_metadata=Base.metadata,
        include_name=include_name,
        compare_type=True,
        transaction_per_migration=True,
        **where,
    )


def run_offline(url: str) -> None:
    configure(url=url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_online(url: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(
                text("SELECT pg_advisory_lock(:key), set_config('lock_timeout', :timeout, false)"),
                {"key": ONE_RUN_AT_A_TIME, "timeout": LOCK_TIMEOUT},
            )
            connection.commit()
            configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
            # SQLAlchemy begins transactions by itself: what is left open here would be lost.
            connection.commit()
    except ConfigError as error:
        # The command line prints these without a traceback.
        raise CommandError(f"{error.message}\n{error.hint}") from error
    finally:
        engine.dispose()


if context.config.config_file_name is not None and context.config.attributes.get("logging", True):
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

address = (
    make_url(settings.admin_url)
    .set(drivername="postgresql+psycopg2")
    .render_as_string(hide_password=False)
)
if context.is_offline_mode():
    run_offline(address)
else:
    run_online(address)

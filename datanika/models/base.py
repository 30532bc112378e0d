"""The declarative base and the mixins every model is made of."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Integer,
    MetaData,
    String,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Json = JSON().with_variant(JSONB(), "postgresql")
# SQLite (model unit tests) only autoincrements INTEGER keys.
_Key = BigInteger().with_variant(Integer(), "sqlite")

PrimaryKey = Annotated[int, mapped_column(_Key, Identity(), primary_key=True, autoincrement=True)]
Name = Annotated[str, mapped_column(String(200))]


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    # What the database fills in comes back with the statement: an async session cannot load it
    # later, when an attribute is read.
    __mapper_args__ = {"eager_defaults": True}
    type_annotation_map = {
        dt.datetime: DateTime(timezone=True),
        dict[str, Any]: Json,
        list[Any]: Json,
        list[str]: Json,
        int: BigInteger,
    }


class TimestampMixin:
    """When a row was made, changed and (softly) deleted. UTC."""

    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    deleted_at: Mapped[dt.datetime | None]


def same_tenant(column: str, parent: str, *, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """``column`` refers to a row of ``parent`` of the same organisation, and of no other."""
    return ForeignKeyConstraint(
        ["org_id", column], [f"{parent}.org_id", f"{parent}.id"], ondelete=ondelete
    )


class TenantMixin:
    """A row that belongs to one organisation. Row-level security filters on ``org_id``."""

    @declared_attr
    def org_id(cls) -> Mapped[int]:  # noqa: N805 - SQLAlchemy passes the class
        return mapped_column(
            BigInteger, ForeignKey("organizations.id", ondelete="CASCADE"), index=True
        )

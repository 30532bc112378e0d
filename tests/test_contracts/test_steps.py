"""A resolved connection knows its secrets and keeps them out of sight."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from datanika.contracts.steps import ResolvedConnection

CONNECTION = ResolvedConnection(
    id=1,
    name="warehouse",
    kind="postgres",
    config={"host": "db", "port": 5432, "password": "canary", "token": "", "pin": 4711},
    secret_fields=("password", "token", "pin", "absent"),
)


def test_the_secrets_are_the_filled_secret_fields_as_text() -> None:
    assert CONNECTION.secrets() == ("canary", "4711")


def test_the_repr_shows_no_configuration() -> None:
    assert "canary" not in repr(CONNECTION)
    assert "db" not in repr(CONNECTION)


def test_a_contract_is_frozen() -> None:
    with pytest.raises(ValidationError):
        CONNECTION.name = "other"

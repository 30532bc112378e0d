"""Numbers as JSON means them."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from datanika.contracts.api import OrganizationPatch
from datanika.contracts.text import RowId

IDS = TypeAdapter(RowId)


def test_a_whole_number_with_a_fraction_of_zero_is_an_integer() -> None:
    assert IDS.validate_json("28969.0") == 28969
    assert OrganizationPatch.model_validate_json('{"max_connections": 5.0}').max_connections == 5


@pytest.mark.parametrize("text", ["2.5", '"7"', "true", "0", "0.0", "-1.0", "1e300"])
def test_nothing_else_is_one(text: str) -> None:
    with pytest.raises(ValidationError):
        IDS.validate_json(text)

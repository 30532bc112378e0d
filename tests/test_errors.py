"""The error tree keeps what its docstring draws."""

from __future__ import annotations

import re

import pytest

from datanika import errors
from datanika.errors import DatanikaError, NotFound, TerminalStepError, TransientStepError


def every_error(root: type[DatanikaError] = DatanikaError) -> list[type[DatanikaError]]:
    """``root`` and all that inherits from it in ``errors.py``."""
    below = [cls for cls in root.__subclasses__() if cls.__module__ == errors.__name__]
    return [root, *(one for cls in below for one in every_error(cls))]


@pytest.mark.parametrize("error", every_error(), ids=lambda cls: cls.__name__)
def test_every_error_is_drawn_in_the_tree(error: type[DatanikaError]) -> None:
    drawn = re.search(rf"{error.__name__}\b +(\S.*)?", errors.__doc__ or "")
    assert drawn
    status = re.match(r"(\d{3}) (\S+)", drawn[1] or "")
    if status:
        assert (int(status[1]), status[2]) == (error.status, error.default_code)


def test_codes_are_unique() -> None:
    codes = [error.default_code for error in every_error()]
    assert len(codes) == len(set(codes))


def test_an_error_without_a_message_says_what_its_class_means() -> None:
    assert str(NotFound()) == "There is no such thing in this organisation."


def test_only_transient_step_errors_are_worth_a_retry() -> None:
    assert TransientStepError.transient
    assert not TerminalStepError.transient

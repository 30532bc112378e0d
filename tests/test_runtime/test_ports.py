"""Ports: the usual ones, free ones where those are taken, the same at the next start."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from datanika.errors import ConfigError
from datanika.runtime.ports import FILE, Claims, choose_ports, free_port, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def claims() -> Iterator[Claims]:
    held = Claims()
    yield held
    held.release()


def test_a_taken_port_is_not_free(taken: int) -> None:
    assert not is_free(taken)
    assert is_free(free_port())


def test_the_next_start_uses_the_same_ports(tmp_path: Path, claims: Claims) -> None:
    first = choose_ports(tmp_path, claims)
    claims.release()
    assert choose_ports(tmp_path, claims) == first
    assert len(set(asdict(first).values())) == 4


def test_a_remembered_port_that_is_taken_now_is_replaced(
    tmp_path: Path, claims: Claims, taken: int
) -> None:
    (tmp_path / FILE).write_text(f'{{"web": {taken}}}')
    chosen = choose_ports(tmp_path, claims)
    assert chosen.web != taken
    assert is_free(chosen.web)


def test_a_port_that_was_asked_for_is_used(tmp_path: Path, claims: Claims) -> None:
    wanted = free_port()
    assert choose_ports(tmp_path, claims, web=wanted).web == wanted


def test_a_port_that_was_asked_for_and_is_taken_is_refused(
    tmp_path: Path, claims: Claims, taken: int
) -> None:
    with pytest.raises(ConfigError, match=str(taken)) as refused:
        choose_ports(tmp_path, claims, web=taken)
    assert refused.value.code == "port_taken"


@pytest.mark.parametrize("text", ["", "[]", "null", '{"web": "x"}'])
def test_a_damaged_file_costs_only_the_preference(
    tmp_path: Path, claims: Claims, text: str
) -> None:
    (tmp_path / FILE).write_text(text)
    choose_ports(tmp_path, claims)


def test_two_platforms_that_start_at_once_choose_different_ports(
    tmp_path: Path, claims: Claims
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = choose_ports(tmp_path / "a", claims)
    second = choose_ports(tmp_path / "b", claims)
    assert not set(asdict(first).values()) & set(asdict(second).values())

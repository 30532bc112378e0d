"""Secrets are made once, kept private, and never replaced by accident."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from datanika.errors import ConfigError
from datanika.runtime.secrets import (
    FILE,
    Secrets,
    add_encryption_key,
    keys_file,
    load_or_create,
    write_private,
)


def test_the_first_start_makes_secrets_and_later_ones_keep_them(tmp_path: Path) -> None:
    made = load_or_create(tmp_path)
    assert load_or_create(tmp_path) == made


def test_only_the_owner_may_read_them_even_if_somebody_opened_them(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    (tmp_path / FILE).chmod(0o644)
    load_or_create(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_no_two_secrets_are_equal_and_none_is_short() -> None:
    values = [*asdict(Secrets.generate()).values(), *asdict(Secrets.generate()).values()]
    assert len(set(values)) == len(values)
    assert min(len(value) for value in values) >= 32


def test_the_keys_are_fernet_keys() -> None:
    made = Secrets.generate()
    Fernet(made.prefect_encryption_key)
    Fernet(made.encryption_keys.removeprefix("k1:"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"secret_key": "only one"}'])
def test_damaged_secrets_stop_the_start_and_stay_as_they_are(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_or_create(tmp_path)
    assert refused.value.code == "secrets_damaged"
    assert (tmp_path / FILE).read_text() == text


def test_they_are_not_shown(tmp_path: Path) -> None:
    made = load_or_create(tmp_path)
    assert made.secret_key not in repr(made)


def test_a_private_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "runtime.env"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_key_encrypts_and_the_old_ones_stay(tmp_path: Path) -> None:
    first = load_or_create(tmp_path)
    assert add_encryption_key(tmp_path) == "k2"
    assert add_encryption_key(tmp_path) == "k3"
    now = load_or_create(tmp_path)
    assert [item[:3] for item in now.encryption_keys.split(",")] == ["k3:", "k2:", "k1:"]
    assert now.encryption_keys.endswith(first.encryption_keys)
    assert replace(now, encryption_keys=first.encryption_keys) == first
    assert keys_file(tmp_path).read_text().strip() == now.encryption_keys
    assert stat.S_IMODE(keys_file(tmp_path).stat().st_mode) == 0o600


def test_keys_that_are_added_at_once_are_all_kept(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: add_encryption_key(tmp_path), range(8)))
    assert sorted(added) == [f"k{number}" for number in range(2, 10)]
    assert len(load_or_create(tmp_path).encryption_keys.split(",")) == 9


def test_without_secrets_of_our_own_no_key_is_added(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        add_encryption_key(tmp_path)
    assert refused.value.code == "secrets_missing"

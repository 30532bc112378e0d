"""The kept parses of dbt projects: found by what decides them, by their own organisation only."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedTransform
from datanika.execution import parse_cache
from datanika.execution.parse_cache import (
    MAX_ENTRY,
    ParseCache,
    ParseKey,
    known_parse,
    parse_key,
    parse_size,
)
from tests.test_engines.steps import postgres

CONFIG = {
    "host": "warehouse.example", "port": 5432, "database": "shop", "user": "loader",
    "password": "canary-of-the-parse-cache", "sslmode": "require",
}  # fmt: skip
FILES = {"dbt_project.yml": "name: org1\n", "models/a.sql": "select 1 as id"}


def step(owner: str = "one", **changes: object) -> ResolvedTransform:
    return ResolvedTransform(
        run_id=1,
        attempt=1,
        step=TransformStep(key="t", destination_id=2),
        destination=postgres(CONFIG),
        project_name="org1",
        files=FILES,
        owner=owner,
    ).model_copy(update=changes)


def key(**changes: object) -> ParseKey:
    found = parse_key(step(**changes))  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.fixture
def cache(tmp_path: Path) -> ParseCache:
    return ParseCache(tmp_path / "parsed")


def entries(cache: ParseCache) -> list[Path]:
    return sorted(cache.root.rglob("*.entry"))


def test_everything_that_decides_a_parse_is_in_its_key() -> None:
    same = key()
    other_attempt = key(run_id=2, attempt=3, done=("model.org1.a",))
    assert other_attempt == same
    new_password = postgres({**CONFIG, "password": "another-password"})
    assert key(destination=new_password) == same
    changed = [
        key(files={**FILES, "models/a.sql": "select 2 as id"}),
        key(files={**FILES, "models/b.sql": "select 2 as id"}),
        key(files={**FILES, "macros/a.sql": "{% macro a() %}{% endmacro %}"}),
        key(destination=postgres({**CONFIG, "database": "other"})),
        key(destination=postgres({**CONFIG, "user": "other"})),
        key(destination=postgres(CONFIG, connection_id=3)),
        key(project_name="org2"),
        key(step=TransformStep(key="t", destination_id=2, default_schema="other")),
        key(step=TransformStep(key="t", destination_id=2, threads=7)),
        key(owner="two"),
    ]
    assert len({one.content for one in (same, *changed)}) == len(changed) + 1
    # A changed file leaves the family: dbt can parse on from an earlier version.
    assert {one.family for one in changed[:3]} == {same.family}
    assert same.family not in {one.family for one in changed[3:]}


def test_other_versions_of_dbt_or_its_adapters_are_another_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, version = key(), parse_cache.engine_version()

    class Newer:
        metadata = {"Name": "dbt_postgres"}
        version = "99.0"

    real = parse_cache.distributions
    parse_cache.engine_version.cache_clear()
    try:
        assert parse_cache.engine_version() == version
        parse_cache.engine_version.cache_clear()
        monkeypatch.setattr(parse_cache, "distributions", lambda: [*real(), Newer()])
        assert parse_cache.engine_version() != version
        after = key()
    finally:
        parse_cache.engine_version.cache_clear()
    assert (after.family != before.family) and (after.content != before.content)


def test_a_step_without_an_owner_is_never_kept() -> None:
    assert parse_key(step(owner="")) is None


def test_an_entry_is_found_again_and_an_earlier_version_where_there_is_no_other(
    cache: ParseCache,
) -> None:
    first, second = key(), key(files={**FILES, "models/a.sql": "select 2 as id"})
    assert cache.get(first) is None
    assert cache.put(first, b"first")
    found = cache.get(first)
    assert found is not None and (found.data, found.exact) == (b"first", True)
    earlier = cache.get(second)
    assert earlier is not None and (earlier.data, earlier.exact) == (b"first", False)
    assert known_parse(cache, first) == b'{"parsed": 5, "exact": true}\nfirst'


def test_organisations_with_the_same_project_share_nothing(cache: ParseCache) -> None:
    one, two = key(owner="one"), key(owner="two")
    cache.put(one, b"of one")
    assert cache.get(two) is None
    # Not even when somebody puts the file there.
    [path] = entries(cache)
    cache.put(two, b"of two")
    [of_two] = set(entries(cache)) - {path}
    of_two.write_bytes(path.read_bytes())
    assert cache.get(two) is None
    assert cache.get(one) is not None


@pytest.mark.parametrize("spoil", ["empty", "half", "flipped", "link", "folder", "huge"])
def test_a_spoilt_entry_is_none_and_is_removed(
    cache: ParseCache, spoil: str, tmp_path: Path
) -> None:
    mine = key()
    cache.put(mine, b"an entry that is whole")
    [path] = entries(cache)
    whole = path.read_bytes()
    if spoil == "empty":
        path.write_bytes(b"")
    elif spoil == "half":
        path.write_bytes(whole[:-3])
    elif spoil == "flipped":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif spoil == "link":
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(whole)
        path.unlink()
        path.symlink_to(elsewhere)
    elif spoil == "folder":
        path.unlink()
        path.mkdir()
    else:
        os.truncate(path, MAX_ENTRY * 2)
    assert cache.get(mine) is None
    assert not path.exists() and not path.is_symlink()
    assert cache.put(mine, b"again")
    assert cache.get(mine) is not None


def test_an_entry_with_a_secret_in_it_is_not_kept(cache: ParseCache) -> None:
    secret = 'canary "of" the cache'
    for entry in (secret, 'x{"password": "canary \\"of\\" the cache"}y'):
        assert not cache.put(key(), entry.encode(), [secret])
    assert not cache.root.exists()
    # As everywhere, what is shorter than four characters is nobody's secret.
    assert cache.put(key(), b"select 1 as id", ["id"])


def test_entries_can_be_read_by_their_own_user_only(cache: ParseCache) -> None:
    cache.put(key(), b"entry")
    [path] = entries(cache)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def version_of(number: int, owner: str = "one") -> ParseKey:
    return key(owner=owner, files={**FILES, "models/a.sql": f"select {number} as id"})


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = ParseCache(tmp_path / "parsed", max_organization=3_500)
    now = time.time()
    for number in range(3):
        cache.put(version_of(number), bytes([65 + number]) * 1_000)
    for age, number in enumerate((1, 2, 0)):
        path = cache._path(version_of(number))
        os.utime(path, (now - 100 + age, now - 100 + age))
    found = cache.get(version_of(1))
    assert found is not None and found.exact
    cache.put(version_of(3), b"D" * 1_000)
    exact = [n for n in range(4) if (one := cache.get(version_of(n))) is not None and one.exact]
    assert exact == [0, 1, 3]
    assert sum(path.stat().st_size for path in entries(cache)) <= 3_500


def test_the_cache_of_all_is_bounded_in_size_and_age(tmp_path: Path) -> None:
    cache = ParseCache(tmp_path / "parsed", max_all=2_500, max_age_seconds=1_000)
    for owner in ("one", "two", "three"):
        cache.put(version_of(1, owner), b"e" * 1_000)
    old = cache._path(version_of(1, "one"))
    os.utime(old, (time.time() - 2_000,) * 2)
    cache.sweep()
    assert not old.exists() and not old.parent.exists()
    assert len(entries(cache)) == 2
    cache.put(version_of(1, "four"), b"e" * 1_000)
    cache.sweep()
    assert len(entries(cache)) == 2
    assert not cache.put(key(), b"")
    assert not cache.put(key(), b"x" * (MAX_ENTRY + 1))


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "parsed").write_text("a file in its place")
    cache = ParseCache(tmp_path / "parsed")
    assert not cache.put(key(), b"entry")
    assert cache.get(key()) is None


def test_what_a_child_says_of_its_parse_is_not_believed() -> None:
    assert parse_size(b'{"parsed":12}\n') == 12
    for line in (b'{"parsed":-1}', b'{"parsed":"x"}', b'{"parsed":null}', b'{"parsed":', b"[]"):
        assert parse_size(line) > MAX_ENTRY

"""Settings: where they come from and what production refuses."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from datanika.config import Settings, data_home
from datanika.errors import ConfigError


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sets: none of the machine's variables."""
    for name, field in Settings.model_fields.items():
        monkeypatch.delenv(f"DATANIKA_{name.upper()}", raising=False)
        if field.validation_alias:
            monkeypatch.delenv(name.upper(), raising=False)


def production(**changes: str | None) -> Settings:
    """Complete production settings with some of them changed."""
    given = {
        "env": "production",
        "database_url": "postgresql://app:x@db/datanika",
        "secret_key": secrets.token_urlsafe(48),
        "encryption_keys": f"k1:{Fernet.generate_key().decode()}",
        "worker_token": secrets.token_urlsafe(48),
    }
    return Settings(_env_file=None, **{**given, **changes})  # type: ignore[arg-type]


def test_complete_production_settings_are_accepted() -> None:
    production().check_production()


@pytest.mark.parametrize(
    "missing", ["database_url", "secret_key", "encryption_keys", "worker_token"]
)
def test_production_refuses_to_start_without(missing: str) -> None:
    with pytest.raises(ConfigError, match=missing.upper()) as refused:
        production(**{missing: None}).check_production()
    assert refused.value.hint


@pytest.mark.parametrize("weak", ["4711", "change" + "me" * 30, "secret" * 10, "Default" * 10])
@pytest.mark.parametrize("name", ["secret_key", "worker_token"])
def test_production_refuses_weak_secrets_without_showing_them(name: str, weak: str) -> None:
    with pytest.raises(ConfigError, match="too short or a default") as refused:
        production(**{name: weak}).check_production()
    assert weak not in str(refused.value)


def test_development_asks_for_nothing() -> None:
    Settings(_env_file=None).check_production()


def test_a_secret_is_not_in_the_repr() -> None:
    settings = production(secret_key="canary-" + "x" * 40)
    assert "canary" not in repr(settings)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert Settings(_env_file=None).database_url is None


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "runtime.env"
    file.write_text("DATANIKA_PORT=9001\nREDIS_URL=redis://file\n")
    monkeypatch.setenv("DATANIKA_PORT", "9002")
    settings = Settings(_env_file=file)
    assert settings.port == 9002
    assert settings.require("redis_url") == "redis://file"


def test_the_data_folder_is_the_one_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATANIKA_HOME", str(tmp_path / "here"))
    assert data_home() == tmp_path / "here"


def test_migrations_use_the_owner_where_one_is_given() -> None:
    assert production().admin_url.startswith("postgresql://app")
    assert production(database_admin_url="postgresql://o@db/d").admin_url == "postgresql://o@db/d"

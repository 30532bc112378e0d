"""Nine languages that say the same things, and nothing that no page says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import datanika.ui
from datanika.i18n import (
    DEFAULT_LOCALE,
    LOCALES,
    RIGHT_TO_LEFT,
    direction,
    load_translations,
    negotiate,
)
from datanika.ui.errors import ERROR_KEYS, LOGIN_ERROR_KEYS, LOGIN_NOTICE_KEYS, error_key

UI = Path(datanika.ui.__file__).parent
KEY = re.compile(r"[a-z_]+(\.[a-z_]+)+")
TEXT_IN_SCRIPT = re.compile(r"""\btexts\[["']([a-z_.]+)["']\]""")


def keys_in_code() -> set[str]:
    """Every ``_t["key"]`` and ``texts["key"]``, what ``_succeed`` says, and every other string that
    is spelled like a key and is one: errors and texts that are chosen by a value."""
    existing = load_translations(DEFAULT_LOCALE)
    found: set[str] = {
        *ERROR_KEYS.values(),
        *LOGIN_ERROR_KEYS.values(),
        *LOGIN_NOTICE_KEYS.values(),
    }
    for file in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Subscript(value=ast.Name(id="_t"), slice=ast.Constant(value=str(key))):
                    found.add(key)
                case ast.Call(
                    func=ast.Attribute(attr="_succeed"), args=[ast.Constant(value=str(key))]
                ):
                    found.add(key)
                case ast.Constant(value=str(text)) if text in existing or re.fullmatch(
                    r"error\.[a-z_]+", text
                ):
                    found.add(text)
    for file in UI.rglob("*.jsx"):
        found.update(TEXT_IN_SCRIPT.findall(file.read_text("utf-8")))
    return found


def test_all_locales_have_same_keys() -> None:
    expected = list(load_translations(DEFAULT_LOCALE))
    for locale in LOCALES:
        assert list(load_translations(locale)) == expected, locale


def test_every_locale_is_one_file_and_every_file_is_a_locale() -> None:
    import datanika.i18n

    folder = Path(datanika.i18n.__file__).parent
    assert {file.stem for file in folder.glob("*.json")} == set(LOCALES)


def test_every_key_in_code_exists_and_every_key_is_used() -> None:
    existing = set(load_translations(DEFAULT_LOCALE))
    used = keys_in_code()
    assert used - existing == set()
    assert existing - used == set()
    assert all(KEY.fullmatch(key) for key in existing)


@pytest.mark.parametrize("locale", [locale for locale in LOCALES if locale != DEFAULT_LOCALE])
def test_sentences_are_translated(locale: str) -> None:
    english, other = load_translations(DEFAULT_LOCALE), load_translations(locale)
    same = [key for key, text in english.items() if len(text.split()) > 3 and other[key] == text]
    assert same == []
    assert all(text.strip() for text in other.values())


def test_an_unknown_locale_is_an_error() -> None:
    with pytest.raises(KeyError):
        load_translations("../en")


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en;q=0.4, sr-Latn;q=0.9", "sr"),
        ("pt-BR, ar;q=0.1", "ar"),
        ("ru;q=0", "en"),
        ("fr;q=much, zh-Hans;q=0.5", "zh"),
        ("", "en"),
    ],
)
def test_the_browser_is_asked_for_its_language(header: str, locale: str) -> None:
    assert negotiate(header) == locale


def test_arabic_is_written_from_right_to_left() -> None:
    assert {locale for locale in LOCALES if direction(locale) == "rtl"} == RIGHT_TO_LEFT == {"ar"}
    # The script that runs before the first paint knows it as well.
    assert '=== "ar" ? "rtl"' in (UI / "language.js").read_text("utf-8")


def test_an_error_is_translated_by_its_code_then_by_its_kind() -> None:
    from datanika.errors import DatanikaError, IllegalTransition, NotFound

    assert error_key(NotFound(code="run_not_found")) == "error.not_found"
    assert error_key(IllegalTransition("late")) == "error.run_moved_on"
    assert error_key(DatanikaError("boom")) == "error.unknown"

"""Passwords, signed tokens, API keys and the ring of encryption keys."""

from __future__ import annotations

import base64
import datetime as dt
import secrets
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwk, jwt
from pydantic import SecretStr

from datanika import security
from datanika.config import settings
from datanika.errors import AuthenticationError, ConfigError, DatanikaError, InvalidInput


@pytest.fixture(autouse=True)
def secret_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "secret_key", SecretStr(secrets.token_urlsafe(48)))
    monkeypatch.setattr(settings, "worker_token", SecretStr(secrets.token_urlsafe(48)))


def test_a_password_is_checked_against_its_hash() -> None:
    hashed = security.hash_password("correct horse")
    assert security.check_password("correct horse", hashed)
    assert not security.check_password("correct horse ", hashed)


def test_72_bytes_are_the_limit_not_72_characters() -> None:
    security.check_password_shape("a" * 72)
    security.check_password_shape("ä" * 36)
    for too_long in ("a" * 73, "ä" * 37):
        with pytest.raises(InvalidInput) as refused:
            security.hash_password(too_long)
        assert refused.value.code == "password_too_long"


def test_a_longer_password_with_the_same_first_72_bytes_is_wrong() -> None:
    hashed = security.hash_password("a" * 72)
    assert security.check_password("a" * 72, hashed)
    assert not security.check_password("a" * 73, hashed)


def test_short_passwords_are_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        security.hash_password("1234567")
    assert refused.value.code == "password_too_short"


@pytest.mark.parametrize("password", ["", "\0", "a\0b" * 5, "\ud800" * 3, "💥" * 40])
def test_odd_passwords_are_wrong_not_an_error(password: str) -> None:
    assert not security.check_password(password, security.hash_password("something else"))


def test_without_a_hash_the_check_fails_in_the_same_time() -> None:
    hashed = security.hash_password("correct horse")

    def seconds(password_hash: str | None) -> float:
        def once() -> float:
            start = time.process_time()
            assert not security.check_password("wrong horse", password_hash)
            return time.process_time() - start

        return median(once() for _ in range(5))

    assert seconds(None) == pytest.approx(seconds(hashed), rel=0.4)


def test_tokens_come_back_as_they_were_made() -> None:
    assert security.read_access_token(
        security.create_access_token(1, 2, 3)
    ) == security.AccessToken(user_id=1, org_id=2, session_id=3)
    assert security.read_run_token(security.create_run_token(1, 2, 3)) == security.RunToken(
        run_id=1, org_id=2, attempt=3
    )


def forged(algorithm: str = "HS256", key: str | None = None, **changes: object) -> str:
    """An access token made with the platform's own secret, but for what is changed."""
    claims = {
        "sub": "1",
        "sid": 3,
        "org": 2,
        "aud": "datanika",
        "exp": dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5),
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(
        claims, key or security._signing_key(security.ACCESS_AUDIENCE), algorithm=algorithm
    )


def test_the_forger_of_these_tests_can_make_a_good_token() -> None:
    assert security.read_access_token(forged()).user_id == 1


CORPUS: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "noise": lambda: "a.b.c",
    "not ascii": lambda: "ä.ö.ü",
    "other key": lambda: forged(key="x" * 64),
    "the plain secret as key": lambda: forged(key=settings.require("secret_key")),
    "other algorithm": lambda: forged("HS512"),
    "no algorithm": lambda: forged().replace(
        forged().split(".")[0], "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"
    ),
    "no signature": lambda: forged().rsplit(".", 1)[0] + ".",
    "expired": lambda: forged(exp=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)),
    "never expires": lambda: forged(exp=None),
    "other audience": lambda: forged(aud="datanika-run"),
    "no audience": lambda: forged(aud=None),
    "no subject": lambda: forged(sub=None),
    "no organisation": lambda: forged(org=None),
    "no session": lambda: forged(sid=None),
    "session is no number": lambda: forged(sid="all"),
    "session is a list": lambda: forged(sid=[1]),
    "subject is no number": lambda: forged(sub="admin"),
    "run token": lambda: security.create_run_token(1, 2, 3),
}


@pytest.mark.parametrize("case", CORPUS)
def test_a_bad_access_token_is_refused(case: str) -> None:
    with pytest.raises(AuthenticationError) as refused:
        security.read_access_token(CORPUS[case]())
    assert refused.value.code == "access_token_invalid"


def test_a_token_that_was_good_before_is_refused_after_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = forged(exp=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30))
    assert security.read_access_token(token).user_id == 1
    later = time.time() + 60
    monkeypatch.setattr("datanika.security.time.time", lambda: later)
    with pytest.raises(AuthenticationError):
        security.read_access_token(token)


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_an_id_token_is_never_signed_with_a_shared_secret(algorithm: str) -> None:
    """Whoever knows the secret could be anybody; a provider may publish what it likes."""
    secret = b"known to every client of the provider"
    shared = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    now = int(time.time())
    claims = {
        "iss": "https://id.example.com", "aud": "me", "sub": "ada", "nonce": "n", "iat": now,
        "exp": now + 60,
    }  # fmt: skip
    token = jwt.encode(claims, secret.decode(), algorithm=algorithm, headers={"kid": "k"})
    read = partial(
        security.read_id_token, token, issuer="https://id.example.com", client_id="me", nonce="n",
        access_token=None,
    )  # fmt: skip
    for kind in ({"kty": "oct"}, {"kty": "oct", "alg": algorithm}, {"kty": "RSA"}, {"kty": "EC"}):
        with pytest.raises(AuthenticationError) as refused:
            read({"keys": [{"kid": "k", "k": shared, **kind}]})
        assert refused.value.code == "id_token_invalid"
    # With the key of a kind that is taken, the same claims are good.
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    published = jwk.construct(pem, "RS256").public_key().to_dict()
    token = jwt.encode(claims, pem, algorithm="RS256", headers={"kid": "k"})
    good = security.read_id_token(
        token, {"keys": [{**published, "kid": "k"}]}, issuer="https://id.example.com",
        client_id="me", nonce="n", access_token=None,
    )  # fmt: skip
    assert good["sub"] == "ada"


def test_an_access_token_is_no_run_token() -> None:
    with pytest.raises(AuthenticationError):
        security.read_run_token(security.create_access_token(1, 2, 3))


def test_only_the_worker_token_is_the_worker_token() -> None:
    token = settings.require("worker_token")
    security.check_worker_token(token)
    for wrong in ("", token[:-1], token + "x", "ä"):
        with pytest.raises(AuthenticationError):
            security.check_worker_token(wrong)


def test_an_api_key_has_a_checksum() -> None:
    key = security.new_api_key()
    assert key.startswith("dnk_") and security.is_api_key(key)
    assert security.new_api_key() != key
    swapped = key[:10] + ("a" if key[10] != "a" else "b") + key[11:]
    for wrong in (swapped, key[:-1], key + "0", key[4:], "dnk_", key.upper()):
        assert not security.is_api_key(wrong)


def test_the_newest_key_encrypts_and_every_key_decrypts() -> None:
    old, new = (security.new_encryption_key() for _ in range(2))
    text = security.Keyring(f"old:{old}").encrypt({"a": 1})
    ring = security.Keyring(f"new:{new}, old:{old}")
    assert ring.decrypt(text) == {"a": 1}
    assert ring.encrypt({}).startswith("new:")


def test_an_unknown_key_id_is_named() -> None:
    text = security.Keyring(f"lost:{security.new_encryption_key()}").encrypt({})
    with pytest.raises(ConfigError, match="'lost'") as refused:
        security.Keyring(f"new:{security.new_encryption_key()}").decrypt(text)
    assert refused.value.code == "encryption_key_unknown"
    assert "DATANIKA_ENCRYPTION_KEYS" in (refused.value.hint or "")


def test_a_damaged_ciphertext_is_refused() -> None:
    ring = security.Keyring(f"k:{security.new_encryption_key()}")
    text = ring.encrypt({})
    for damaged in (text[:-4], text.replace("gAAAA", "gAAAB"), "k:"):
        with pytest.raises(DatanikaError) as refused:
            ring.decrypt(damaged)
        assert refused.value.code == "ciphertext_invalid"


@pytest.mark.parametrize("keys", ["", "k1", "k1:short", "k:{key},k:{key}", ":{key}"])
def test_wrong_key_settings_are_explained_without_showing_a_key(keys: str) -> None:
    key = security.new_encryption_key()
    with pytest.raises(ConfigError) as refused:
        security.Keyring(keys.format(key=key))
    assert refused.value.code == "encryption_keys_invalid"
    assert key not in str(refused.value)

"""The platform's cryptography, all of it: nothing else imports bcrypt, jose or cryptography.

Passwords are bcrypt. Access and run tokens are JWTs with one fixed algorithm, one fixed audience
and a signing key of their own per audience. Refresh tokens, browser sessions and API keys are
random and stored as sha256. Credentials are Fernet under a ring of keys with ids.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
import string
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import bcrypt
from cryptography.fernet import Fernet, InvalidToken
from jose import JOSEError, JWTError, jwt

from datanika.config import settings
from datanika.errors import AuthenticationError, ConfigError, DatanikaError, InvalidInput

# --- passwords ---------------------------------------------------------------------------------

PASSWORD_MIN_CHARACTERS: Final = 8
PASSWORD_MAX_BYTES: Final = 72
"""bcrypt reads no further (and silently would not, before version 5)."""
_BCRYPT_ROUNDS: Final = 12

# A hash nobody knows a password of: what an unknown user's password is compared with, so that
# the answer takes as long as for a known one.
_NOBODY: Final = "$2b$12$u9hejNVPxDmFl01cVncVnu/nQAhfJa0mf.scR8ccBXE1CuvTLqk8."


def check_password_shape(password: str) -> None:
    """Raise :class:`InvalidInput` for a password that is too short or that bcrypt would cut."""
    if len(password) < PASSWORD_MIN_CHARACTERS:
        raise InvalidInput(
            f"The password needs at least {PASSWORD_MIN_CHARACTERS} characters.",
            code="password_too_short",
            field="password",
        )
    if len(_bytes(password)) > PASSWORD_MAX_BYTES:
        raise InvalidInput(
            f"The password is longer than {PASSWORD_MAX_BYTES} bytes.",
            code="password_too_long",
            field="password",
            hint="Letters with accents and emoji take more than one byte each.",
        )


def hash_password(password: str) -> str:
    """bcrypt, about 0.2 s of one core: call it in a thread."""
    check_password_shape(password)
    return bcrypt.hashpw(_bytes(password), bcrypt.gensalt(_BCRYPT_ROUNDS)).decode()


def check_password(password: str, password_hash: str | None) -> bool:
    """Whether the password is right. Takes as long when there is no hash (an unknown user)."""
    given = _bytes(password)
    known = password_hash is not None and len(given) <= PASSWORD_MAX_BYTES
    right = bcrypt.checkpw(given[:PASSWORD_MAX_BYTES], (password_hash or _NOBODY).encode())
    return right and known


def _bytes(text: str) -> bytes:
    """UTF-8 of anything that JSON can carry, halves of surrogate pairs too."""
    return text.encode("utf-8", "surrogatepass")


# --- signed tokens -----------------------------------------------------------------------------

ACCESS_AUDIENCE: Final = "datanika"
RUN_AUDIENCE: Final = "datanika-run"
RUN_TOKEN_LIFETIME: Final = dt.timedelta(days=2)
_ALGORITHM: Final = "HS256"
_LEEWAY_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class AccessToken:
    user_id: int
    org_id: int
    session_id: int
    """The login that the token came from: it ends when that login is revoked."""


@dataclass(frozen=True, slots=True)
class RunToken:
    """The right to read and report one attempt of one run."""

    run_id: int
    org_id: int
    attempt: int


def create_access_token(user_id: int, org_id: int, session_id: int) -> str:
    lifetime = dt.timedelta(minutes=settings.access_token_minutes)
    claims = {"sub": str(user_id), "org": org_id, "sid": session_id}
    return _sign(ACCESS_AUDIENCE, claims, lifetime)


def read_access_token(token: str) -> AccessToken:
    """Raises :class:`AuthenticationError` for anything but a live token of this platform."""
    return AccessToken(
        *_verify(ACCESS_AUDIENCE, token, ("sub", "org", "sid"), "access_token_invalid")
    )


def create_run_token(
    run_id: int, org_id: int, attempt: int, expires_in: dt.timedelta = RUN_TOKEN_LIFETIME
) -> str:
    return _sign(RUN_AUDIENCE, {"sub": str(run_id), "org": org_id, "attempt": attempt}, expires_in)


def read_run_token(token: str) -> RunToken:
    """Raises :class:`AuthenticationError` for anything but a live run token of this platform."""
    return RunToken(*_verify(RUN_AUDIENCE, token, ("sub", "org", "attempt"), "run_token_invalid"))


def check_worker_token(given: str) -> None:
    """Raise :class:`AuthenticationError` unless ``given`` is the workers' shared token."""
    if not hmac.compare_digest(_bytes(given), settings.require("worker_token").encode()):
        raise AuthenticationError("This is not the worker token.", code="worker_token_invalid")


def _signing_key(audience: str) -> str:
    return hmac.new(
        settings.require("secret_key").encode(), audience.encode(), "sha256"
    ).hexdigest()


def _sign(audience: str, claims: Mapping[str, Any], lifetime: dt.timedelta) -> str:
    now = dt.datetime.now(dt.UTC)
    claims = {**claims, "aud": audience, "iat": now, "exp": now + lifetime}
    return str(jwt.encode(claims, _signing_key(audience), algorithm=_ALGORITHM))


def _verify(audience: str, token: str, claims: tuple[str, ...], code: str) -> Iterator[int]:
    """The values of ``claims``, all of them integers, in their order."""
    try:
        payload = _signed_by_us(audience, _signing_key(audience), token)
        if payload["exp"] + _LEEWAY_SECONDS < time.time():
            raise ValueError("expired")
        values = [int(payload[name]) for name in claims]
    except (JWTError, KeyError, TypeError, ValueError) as error:
        raise AuthenticationError(
            "The token is not valid or has expired.", code=code, hint="Log in again."
        ) from error
    return iter(values)


@lru_cache(maxsize=10_000)
def _signed_by_us(audience: str, key: str, token: str) -> dict[str, Any]:
    """What ``token`` says. It is the same for as long as the token is: only its end is not."""
    payload: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[_ALGORITHM],
        audience=audience,
        options={
            "require_exp": True,
            "require_aud": True,
            "require_sub": True,
            "verify_exp": False,
        },
    )
    return payload


# --- what OpenID providers sign ------------------------------------------------------------------

# The key type of each algorithm that is taken. None of them can be made with a public key.
_ID_TOKEN_ALGORITHMS: Final = {"RS256": "RSA", "ES256": "EC"}


def pkce_pair() -> tuple[str, str]:
    """A code verifier and its S256 challenge (RFC 7636)."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def read_id_token(
    token: str,
    jwks: Mapping[str, Any],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str | None,
) -> dict[str, Any]:
    """The claims of an ID token, validated as OpenID Connect Core 1.0, section 3.1.3.7, says.

    Raises :class:`AuthenticationError` ``id_token_invalid``.
    """
    try:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        claims: dict[str, Any] = jwt.decode(
            token,
            _provider_key(jwks, algorithm, header.get("kid")),
            algorithms=[algorithm],
            audience=client_id,
            issuer=issuer,
            access_token=access_token,
            options={
                **{f"require_{name}": True for name in ("exp", "iat", "aud", "iss", "sub")},
                "leeway": 60,
            },
        )
        audiences = claims["aud"]
        if isinstance(audiences, list) and len(audiences) > 1 and claims.get("azp") != client_id:
            raise ValueError("made for another client")
        if not hmac.compare_digest(_bytes(str(claims.get("nonce", ""))), _bytes(nonce)):
            raise ValueError("made for another login")
    # JWK parsing lets out what the JSON of a provider makes of it.
    except (JOSEError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AuthenticationError(
            "The provider's ID token is not valid.", code="id_token_invalid"
        ) from error
    return claims


def _provider_key(jwks: Mapping[str, Any], algorithm: Any, kid: Any) -> dict[str, Any]:
    """The signing key of that name, of the type that the algorithm has."""
    kind = _ID_TOKEN_ALGORITHMS[algorithm]
    keys: list[dict[str, Any]] = [
        key
        for key in jwks["keys"]
        if key.get("kty") == kind
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    ]
    if len(keys) != 1:
        raise ValueError("no such key, or several")
    return keys[0]


# --- random tokens and API keys ----------------------------------------------------------------

API_KEY_PREFIX: Final = "dnk_"
_BASE62: Final = string.digits + string.ascii_letters
_KEY_CHARACTERS: Final = 40
_CHECKSUM_CHARACTERS: Final = 6


def new_token() -> str:
    """256 random bits for a refresh token or a browser's session."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """sha256, hex. Random tokens need no salt and no slow hash."""
    return hashlib.sha256(_bytes(token)).hexdigest()


def mailed_proof(token: str) -> str:
    """What only a mail with ``token`` holds: who shows both has read that mail."""
    return hmac.new(_signing_key("datanika-mail").encode(), _bytes(token), "sha256").hexdigest()


def check_mailed_proof(token: str, proof: str) -> bool:
    """Whether ``proof`` came in the mail with ``token``."""
    return hmac.compare_digest(_bytes(proof), mailed_proof(token).encode())


def new_api_key() -> str:
    """``dnk_``, 40 random characters, and a checksum that tells a mistyped key from a wrong one
    without a query (and a leaked key from noise in a scanner)."""
    body = "".join(secrets.choice(_BASE62) for _ in range(_KEY_CHARACTERS))
    return f"{API_KEY_PREFIX}{body}{_checksum(body)}"


def is_api_key(token: str) -> bool:
    """Whether ``token`` has an API key's shape and its checksum is right."""
    if not token.startswith(API_KEY_PREFIX):
        return False
    body = token[len(API_KEY_PREFIX) : -_CHECKSUM_CHARACTERS]
    return len(body) == _KEY_CHARACTERS and token[-_CHECKSUM_CHARACTERS:] == _checksum(body)


def _checksum(body: str) -> str:
    number, text = zlib.crc32(_bytes(body)), ""
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_BASE62))
        text = _BASE62[digit] + text
    return text


# --- encryption --------------------------------------------------------------------------------


def new_encryption_key() -> str:
    """A Fernet key: AES-128-CBC with HMAC-SHA256."""
    return Fernet.generate_key().decode()


class Keyring:
    """Fernet keys by id, newest first. A ciphertext is ``kid:token``."""

    def __init__(self, keys: str) -> None:
        """``keys`` is ``kid:fernetkey,…``; raises :class:`ConfigError`."""
        self._keys: dict[str, Fernet] = {}
        for item in filter(None, (part.strip() for part in keys.split(","))):
            kid, _, key = item.partition(":")
            if not kid or kid in self._keys:
                raise _bad_keys(f"The key id {kid!r} is empty or there twice.")
            try:
                self._keys[kid] = Fernet(key)
            except ValueError as error:
                raise _bad_keys(f"The key {kid!r} is not a Fernet key.") from error
        if not self._keys:
            raise _bad_keys("There is no encryption key.")
        self.newest = next(iter(self._keys))

    def encrypt(self, payload: Mapping[str, Any]) -> str:
        """Under the newest key. ``payload`` must be JSON."""
        token = self._keys[self.newest].encrypt(json.dumps(payload).encode())
        return f"{self.newest}:{token.decode()}"

    def decrypt(self, text: str) -> dict[str, Any]:
        """Raises :class:`ConfigError` for an unknown key id, :class:`DatanikaError` for damage."""
        kid, _, token = text.partition(":")
        key = self._keys.get(kid)
        if key is None:
            raise ConfigError(
                f"A credential was encrypted with the key {kid!r}, which is not configured.",
                code="encryption_key_unknown",
                hint="Add the key to DATANIKA_ENCRYPTION_KEYS again, behind the newest one.",
            )
        try:
            payload: dict[str, Any] = json.loads(key.decrypt(token))
        except InvalidToken as error:
            raise DatanikaError(
                "A stored credential is damaged.",
                code="ciphertext_invalid",
                hint="Enter the credential again.",
            ) from error
        return payload


def keyring() -> Keyring:
    """The ring of the settings' keys; raises :class:`ConfigError`."""
    path = settings.encryption_keys_file
    if path is None:
        return _keyring(settings.require("encryption_keys"))
    try:
        return _keyring(path.read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read.",
            code="encryption_keys_unreadable",
            hint="DATANIKA_ENCRYPTION_KEYS_FILE names the file with the encryption keys.",
        ) from error


@lru_cache(maxsize=4)
def _keyring(keys: str) -> Keyring:
    return Keyring(keys)


def _bad_keys(message: str) -> ConfigError:
    return ConfigError(
        message,
        code="encryption_keys_invalid",
        hint="DATANIKA_ENCRYPTION_KEYS is kid:fernetkey,… with the newest first.",
    )

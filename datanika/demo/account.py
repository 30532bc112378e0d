"""The demo's user and organisation, and the key with which every later demo acts for them."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from datanika.client import DatanikaClient, credentials_file, save_credentials
from datanika.contracts.api import ApiKeyIn, MeOut
from datanika.demo import content
from datanika.errors import AuthenticationError, Conflict

KEY_NAME = "datanika demo"


@dataclass(frozen=True)
class Account:
    """Who the demo is. ``password`` only when the user was made just now: it is kept nowhere."""

    me: MeOut
    token: str = field(repr=False)
    password: str | None = field(default=None, repr=False)


def open_account(url: str, home: Path) -> Account:
    """The account that ``<home>/cli.json`` has the key of, or a new one whose key it gets.

    Raises :class:`Conflict` when the demo's user exists and the file is gone: nobody knows the
    password then.
    """
    return _known(url, home) or _register(url, home)


def _known(url: str, home: Path) -> Account | None:
    path = credentials_file(home)
    if not path.is_file():
        return None
    token = json.loads(path.read_text("utf-8"))["token"]
    with DatanikaClient(url, token) as api:
        try:
            account = Account(api.auth.me(), token)
        except AuthenticationError:
            return None
    # The port may be another one this time.
    save_credentials(home, url, token)
    return account


def _register(url: str, home: Path) -> Account:
    password = secrets.token_urlsafe(12)
    with DatanikaClient(url) as api:
        api.auth.register(content.EMAIL, password, content.USER_NAME, content.ORGANIZATION)
        try:
            api.auth.login(content.EMAIL, password)
        except AuthenticationError as error:
            if error.code != "bad_credentials":
                raise
            # Registering says nothing about accounts: that this password is wrong does.
            raise Conflict(
                f"The demo's user {content.EMAIL} exists, but its key is not in "
                f"{credentials_file(home)}.",
                code="demo_key_missing",
                hint="Put the file back, or use another data folder: datanika demo --home DIR.",
            ) from error
        me = api.auth.me()
        key = api.api_keys.create(ApiKeyIn(name=KEY_NAME, scopes=me.permissions)).key
    save_credentials(home, url, key)
    return Account(me, key, password)

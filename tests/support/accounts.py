"""People with a password whose hash costs nothing, and the mails that were sent to them."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import bcrypt
from sqlalchemy import func, update

from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.models import User
from datanika.services.actor import Actor
from tests.support.tenants import Tenant, add_member, make_tenant

PASSWORD = "correct horse battery staple"
_HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


async def make_person(name: str = "Acme", *, verified: bool = True) -> Tenant:
    """The owner of an organisation, who can log in with :data:`PASSWORD`."""
    tenant = await make_tenant(name)
    await change(
        tenant.owner.user_id,
        password_hash=_HASH,
        email_verified_at=func.now() if verified else None,
    )
    return tenant


async def make_member(org_id: int, role: Role) -> Actor:
    """A new member with ``role``, who can log in with :data:`PASSWORD`."""
    actor = await add_member(org_id, role)
    await change(actor.user_id, password_hash=_HASH, email_verified_at=func.now())
    return actor


async def change(user_id: int, **values: object) -> None:
    """Change columns of a user."""
    async with get_session(SYSTEM) as session:
        await session.execute(update(User).where(User.id == user_id).values(**values))


def mails() -> list[EmailMessage]:
    """What landed in the mail folder, oldest first."""
    return [read_mail(path) for path in sorted(settings.mail_folder.glob("*.eml"))]


def read_mail(path: Path) -> EmailMessage:
    """A stored mail."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: EmailMessage) -> str:
    """A mail's plain text."""
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def link_of(message: EmailMessage) -> str:
    """The link in a mail's plain text."""
    found = re.search(r"https?://\S+", text_of(message))
    assert found
    return found[0]


def token_of(message: EmailMessage) -> str:
    """The token in a mail's link."""
    return parse_qs(urlsplit(link_of(message)).query)["token"][0]

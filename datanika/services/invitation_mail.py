"""The mail of an invitation."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from datanika.services.invitation_service import Sent
from datanika.services.mail import Mail


def invitation_mail(sent: Sent, inviter: str) -> Mail:
    """What the invited address gets: the link that proves that it was read there."""
    link = urlsplit(sent.mailed_link)
    return Mail(
        "invitation",
        to=sent.invitation.email,
        values={
            "organization": sent.organization,
            "inviter": inviter,
            "role": sent.invitation.role,
        },
        path=link.path,
        query=dict(parse_qsl(link.query)),
    )

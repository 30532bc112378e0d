"""Mails that leave after the request was committed and answered."""

from __future__ import annotations

from typing import Annotated

from fastapi import BackgroundTasks, Depends

from datanika.services.mail import Mail, send_mail


class Outbox:
    """Takes a handler's mails. A request that fails sends none."""

    def __init__(self, background: BackgroundTasks) -> None:
        self.background = background

    def put(self, *mails: Mail | None) -> None:
        for mail in mails:
            if mail is not None:
                self.background.add_task(send_mail, mail)


async def _outbox(background: BackgroundTasks) -> Outbox:
    return Outbox(background)


Mails = Annotated[Outbox, Depends(_outbox)]

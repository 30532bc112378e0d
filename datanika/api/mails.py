"""Mails that leave after the request was committed and answered."""

from __future__ import annotations

from typing import Annotated

from fastapi import BackgroundTasks, Depends
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.services.mail import Mail
from datanika.services.mail_queue import enqueue, send_one


class Outbox:
    """Takes a handler's mails. A request that fails sends none."""

    def __init__(self, background: BackgroundTasks) -> None:
        self.background = background

    async def put(self, session: AsyncSession, *mails: Mail | None) -> None:
        """Write them down in the request's transaction, which is in system scope; None is for
        nobody, and takes as long."""
        for mail in mails:
            self.background.add_task(send_one, await enqueue(session, mail))


async def _outbox(background: BackgroundTasks) -> Outbox:
    return Outbox(background)


Mails = Annotated[Outbox, Depends(_outbox)]

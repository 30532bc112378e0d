"""An organisation in which every page has something to show."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import func, select

from datanika.contracts.enums import Role
from datanika.contracts.notifications import ChannelKind
from datanika.contracts.schedule import ScheduleSpec
from datanika.db import SYSTEM, get_session
from datanika.models import CatalogEntry, Connection, Transformation, UsageMonth
from datanika.services.actor import prove_membership
from datanika.services.api_key_service import ApiKeyService
from datanika.services.invitation_service import InvitationService
from datanika.services.notification_service import NotificationService
from datanika.services.operators import set_operator
from datanika.services.schedule_service import ScheduleService
from tests.support import story as stories
from tests.support.story import Story
from tests.support.tenants import add_member


async def furnish(story: Story, *, run: bool = True) -> dict[str, int]:
    """Give the story's organisation members, an invitation, a key, channels, a schedule, months of
    use and a whole run (if ``run``), and its owner the operators' view.

    Parameter of a page's address -> something of the story to open there.
    """
    owner = story.actor
    for role in (Role.ADMIN, Role.EDITOR, Role.VIEWER):
        await add_member(owner.org_id, role)
    async with get_session(SYSTEM) as session:
        await set_operator(session, owner.email, True)
        for month in range(5, 9):
            session.add(
                UsageMonth(
                    org_id=owner.org_id,
                    month=dt.date(2026, month, 1),
                    runs=month * 10,
                    rows=month * 100_000,
                )
            )
        login = await prove_membership(session, owner.user_id, owner.org_id)
    async with get_session(login.scope) as session:
        await ApiKeyService(session, login).create("nightly export", ["run:read", "run:trigger"])
        channels = NotificationService(session, login)
        await channels.create(
            "on call", ChannelKind.EMAIL, {"to": ["data@example.com"]}, ["run.failed"]
        )
        hook = {"url": "https://hooks.example.com/a/rather/long/address/of/a/hook"}
        await channels.create(
            "hook", ChannelKind.WEBHOOK, hook, ["run.failed"], [story.pipeline_id]
        )
        weekdays = ScheduleSpec(cron="30 6 * * 1-5", timezone="Europe/Berlin")
        await ScheduleService(session, login).create(story.pipeline_id, weekdays)
    person = await add_member(owner.org_id, Role.ADMIN)
    async with get_session(person.scope) as session:
        await InvitationService(session, person).create(stories.new_email(), Role.EDITOR)
    found = {"pipeline_id": story.pipeline_id}
    if run:
        found["run_id"] = await stories.whole_run(story)
    async with get_session(owner.scope) as session:
        for parameter, model in (
            ("connection_id", Connection),
            ("transformation_id", Transformation),
            ("entry_id", CatalogEntry),
        ):
            ids = select(func.min(model.id)).where(model.org_id == owner.org_id)
            found[parameter] = await session.scalar(ids) or 0
    return found

"""The application: the Reflex UI and the FastAPI API, one process, one port.

``reflex run`` imports it for development; ``datanika.ui.serve`` serves it with a built front end.
"""

from __future__ import annotations

import reflex as rx

from datanika.api.app import background_tasks, create_app
from datanika.services.invitation_service import PATH as INVITATION_PAGE
from datanika.services.sign_up import CONFIRM_PAGE, FORGOT_PAGE, RESET_PAGE, SIGN_UP_PAGE
from datanika.ui.failures import tell_of_failure
from datanika.ui.guard import LOGIN_PAGE, NOWHERE_PAGE, DenyByDefault
from datanika.ui.pages import (
    catalog,
    connections,
    home,
    operators,
    pipelines,
    runs,
    settings,
    transformations,
)
from datanika.ui.pages.account.invitation import invitation_page
from datanika.ui.pages.account.login import login_page
from datanika.ui.pages.account.mailed import (
    forgot_password_page,
    reset_password_page,
    verify_email_page,
)
from datanika.ui.pages.account.missing import missing_page
from datanika.ui.pages.account.no_organization import no_organization_page
from datanika.ui.pages.account.sign_up import sign_up_page
from datanika.ui.sockets import allow_same_origin_only
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.invitation_state import InvitationState
from datanika.ui.state.session import SessionState
from datanika.ui.styles import stylesheets
from datanika.ui.theme import app_wraps, head_components

app = rx.App(
    api_transformer=create_app(),
    stylesheets=stylesheets(),
    head_components=head_components(),
    app_wraps=app_wraps(),
    toaster=None,
    reset_style=False,
    html_lang="en",
    backend_exception_handler=tell_of_failure,
)
app.add_middleware(DenyByDefault())
allow_same_origin_only(app)
app.register_lifespan_task(background_tasks)


for _member_page in (
    *home.PAGES,
    *runs.PAGES,
    *pipelines.PAGES,
    *connections.PAGES,
    *transformations.PAGES,
    *catalog.PAGES,
    *settings.PAGES,
    *operators.PAGES,
):
    app.add_page(
        _member_page.build,
        route=_member_page.route,
        title=f"{_member_page.title} · Datanika",
        on_load=[
            I18nState.load_locale,
            *([_member_page.load] if _member_page.load is not None else []),
            # The last: it says that the page is there, see ``Arrival``.
            SessionState.load_session,
        ],
    )
for _page, _route in {
    login_page: LOGIN_PAGE,
    sign_up_page: SIGN_UP_PAGE,
    forgot_password_page: FORGOT_PAGE,
    reset_password_page: RESET_PAGE,
    verify_email_page: CONFIRM_PAGE,
    no_organization_page: NOWHERE_PAGE,
}.items():
    app.add_page(
        _page,
        route=_route,
        title="Datanika",
        on_load=[I18nState.load_locale, SessionState.load_login],
    )
app.add_page(
    invitation_page,
    route=INVITATION_PAGE,
    title="Datanika",
    on_load=[I18nState.load_locale, SessionState.load_login, InvitationState.load_invitation],
)
app.add_page(missing_page, route="404", title="Datanika", on_load=[I18nState.load_locale])

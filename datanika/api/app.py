"""The FastAPI application, which the Reflex application is joined to."""

from __future__ import annotations

from fastapi import FastAPI

from datanika import __version__
from datanika.api import (
    account,
    api_keys,
    audit,
    auth,
    backfills,
    catalog,
    connections,
    cursors,
    dependencies,
    files,
    following,
    health,
    internal,
    invitations,
    jobs,
    me,
    metrics,
    notifications,
    oidc,
    openapi,
    organizations,
    overview,
    pipelines,
    problems,
    projects,
    queue,
    runs,
    schedules,
    sign_up,
    switching,
    transformations,
    triggering,
)
from datanika.api.background import background_tasks
from datanika.api.body_limit import BodyLimit
from datanika.api.routes import answer_the_rest

PREFIX = "/api/v1"
# The busiest first: a path is compared with one route after the other.
_ROUTERS = (
    pipelines.router,
    queue.router,
    runs.router,
    overview.router,
    auth.router,
    sign_up.router,
    oidc.router,
    account.router,
    oidc.links,
    me.router,
    switching.router,
    organizations.router,
    invitations.anonymous,
    invitations.router,
    api_keys.router,
    connections.router,
    transformations.router,
    projects.router,
    cursors.router,
    dependencies.router,
    schedules.router,
    triggering.router,
    following.router,
    backfills.router,
    catalog.router,
    notifications.router,
    audit.router,
    files.uploads,
    files.router,
    jobs.router,
)


def create_app() -> FastAPI:
    """REST API, internal API and health checks.

    Whoever serves it enters :func:`~datanika.api.background.background_tasks`: Reflex does not
    run this application's lifespan.
    """
    app = FastAPI(
        title="Datanika",
        version=__version__,
        summary="Data pipelines: connect, load, transform, schedule, watch.",
        generate_unique_id_function=lambda route: route.name,
        openapi_url=f"{PREFIX}/openapi.json",
        # Swagger's page would load its scripts from somebody else's server.
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit)
    problems.install(app)
    # Not through one router for all: FastAPI matches a path once more for each level.
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.include_router(internal.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    table = answer_the_rest(app)
    openapi.install(app)
    app.add_middleware(metrics.RequestMetrics, table=table)
    return app


__all__ = ["background_tasks", "create_app"]

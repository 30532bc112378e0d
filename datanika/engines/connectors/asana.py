"""Asana: https://developers.asana.com/reference."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import Parent, RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import bearer, cursor, zulu

_TASK = (
    "name,notes,assignee,completed,completed_at,created_at,modified_at,due_on,due_at,start_on,"
    "parent,tags,memberships,custom_fields,num_subtasks,permalink_url,resource_subtype"
)
_PROJECT = "name,notes,archived,color,created_at,modified_at,owner,team,due_on,start_on,completed"


class AsanaConfig(ConnectorConfig):
    workspace: str = Field(
        title="Workspace", description="Its number (gid).", pattern=r"^[0-9]{1,30}$"
    )
    token: str = secret("Personal access token", pattern=r"^\S{8,300}$")


class AsanaConnector(RestConnector[AsanaConfig]):
    kind = "asana"
    title = "Asana"
    description = "Projects, tasks, users and tags of a workspace."
    config = AsanaConfig
    verified_live = False
    docs = (
        "`tasks` are those of every project, with `project_gid`; key: `project_gid` and `gid`, as "
        "a task may be in several projects. The cursor `modified_at` is asked of Asana for them."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        inside = {"workspace": config.workspace}

        def endpoint(name: str, path: str, **more: Any) -> RestEndpoint:
            params = {"limit": 100} | more.pop("params", {})
            return RestEndpoint(
                name=name, path=path, records="data", params=params,
                paginator=cursor("next_page.offset", "offset"),
                **{"primary_key": ("gid",), **more},
            )  # fmt: skip

        return RestApi(
            base_url=self.base_url or "https://app.asana.com/api/1.0",
            auth=bearer(config.token),
            endpoints=(
                endpoint(
                    "projects", "projects", params=inside | {"opt_fields": _PROJECT},
                    since=Since("modified_at"),
                ),
                endpoint(
                    "tasks", "projects/{gid}/tasks",
                    params={"opt_fields": _TASK},
                    primary_key=("project_gid", "gid"),
                    since=Since("modified_at", "modified_since", zulu),
                    parent=Parent("projects", "gid", "project_gid"),
                ),
                endpoint(
                    "sections", "projects/{gid}/sections",
                    parent=Parent("projects", "gid", "project_gid"),
                ),
                endpoint("users", "users", params=inside | {"opt_fields": "name,email"}),
                endpoint("tags", "tags", params=inside | {"opt_fields": "name,color,notes"}),
                endpoint("teams", f"workspaces/{config.workspace}/teams"),
            ),
            probe="users",
        )  # fmt: skip


ASANA = AsanaConnector()

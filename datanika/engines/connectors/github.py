"""GitHub: https://docs.github.com/en/rest."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import bearer, rate_limited, zulu


class GithubConfig(ConnectorConfig):
    owner: str = Field(
        title="Owner", description="User or organisation.", pattern=r"^[A-Za-z0-9-]{1,39}$"
    )
    repository: str = Field(title="Repository", pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")
    token: str = secret(
        "Token", "A fine-grained token that may read the repository.", pattern=r"^\S{8,300}$"
    )


class GithubConnector(RestConnector[GithubConfig]):
    kind = "github"
    title = "GitHub"
    description = "Issues, pull requests, commits and releases of a repository."
    config = GithubConfig
    verified_live = False
    docs = (
        "`issues` and the comments ask for rows changed since the cursor `updated_at`, `commits` "
        "for those since `committed_at`; the others are read whole. `issues` has pull requests, "
        "too, as in GitHub's API."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        top = f"repos/{config.owner}/{config.repository}"
        every = {"state": "all", "sort": "updated", "direction": "asc", "per_page": 100}
        changed = Since("updated_at", "since", zulu)
        sized = {"per_page": 100}

        def endpoint(name: str, path: str, **more: Any) -> RestEndpoint:
            return RestEndpoint(
                name=name,
                path=f"{top}/{path}",
                paginator="header_link",
                **{"params": sized, **more},
            )

        return RestApi(
            base_url=self.base_url or "https://api.github.com",
            auth=bearer(config.token),
            headers={
                "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28",
            },
            check=_check,
            endpoints=(
                endpoint("issues", "issues", params=every, since=changed),
                endpoint("pull_requests", "pulls", params=every, since=Since("updated_at")),
                endpoint("issue_comments", "issues/comments", params=every, since=changed),
                endpoint("review_comments", "pulls/comments", params=every, since=changed),
                endpoint(
                    "commits", "commits", primary_key=("sha",),
                    since=Since("committed_at", "since", zulu), lift=_committed,
                ),
                endpoint("releases", "releases"),
                endpoint("branches", "branches", primary_key=("name",)),
                endpoint("tags", "tags", primary_key=("name",)),
                endpoint("labels", "labels"),
                endpoint("milestones", "milestones", params={"state": "all", "per_page": 100}),
                endpoint("contributors", "contributors"),
                endpoint("workflow_runs", "actions/runs", records="workflow_runs"),
            ),
            probe="labels",
        )  # fmt: skip


GITHUB = GithubConnector()


def _committed(row: dict[str, Any]) -> dict[str, Any]:
    committer = (row.get("commit") or {}).get("committer") or {}
    return row | {"committed_at": committer.get("date")}


def _check(response: Any) -> None:
    # 403 is also what GitHub says when the limit of the hour is used up.
    if response.status_code in (403, 429) and response.headers.get("x-ratelimit-remaining") == "0":
        raise rate_limited(f"until {response.headers.get('x-ratelimit-reset', 'later')}")

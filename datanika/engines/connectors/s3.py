"""Files in an S3-compatible store: AWS, MinIO, Cloudflare R2, Wasabi and others."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import Connector, Reading, secret
from datanika.engines.connectors.files import FilesConfig
from datanika.engines.connectors.rest_api import URL
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import (
        IntrospectAction,
        IntrospectionResult,
        PreviewAction,
        RowsResult,
        TableInfo,
    )
    from datanika.engines.dlt_engine.sources.base import SourceTable
    from datanika.engines.dlt_engine.sources.s3 import S3Bucket, S3Object

PREVIEW_BYTES = 256 * 1024 * 1024


class S3Config(FilesConfig):
    bucket: str = Field(title="Bucket", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    region: str = Field(default="us-east-1", title="Region", pattern=r"^[a-z0-9-]{2,40}$")
    endpoint: str | None = Field(
        default=None,
        title="Endpoint",
        description="Of a store that is not AWS.",
        pattern=URL,
        examples=["https://minio.example.com:9000"],
    )
    access_key_id: str | None = Field(
        default=None,
        title="Access key id",
        description="Empty: a public bucket.",
        pattern=r"^[A-Za-z0-9_+=,.@-]{3,128}$",
    )
    secret_access_key: str | None = secret("Secret access key", default=None)


class S3Connector(Connector[S3Config]):
    kind = "s3"
    title = "S3-compatible storage"
    description = "CSV, Parquet, JSON-lines or Excel files in a bucket."
    config = S3Config
    is_source = True
    docs = (
        "A table is a key or a glob (`2024/*.parquet`); `*` stays within one folder. Objects are "
        "fetched to the worker's disk, then read as uploaded files are."
    )

    def test(self, connection: ResolvedConnection) -> None:
        with self._bucket(connection) as bucket:
            next(bucket.list(), None)

    def introspect(self, action: IntrospectAction, folder: Path) -> IntrospectionResult:
        from datanika.contracts.ad_hoc import TableInfo
        from datanika.engines.ad_hoc.pages import page_of_names

        with self._bucket(action.connection) as bucket:
            sizes = {item.key: item.size for item in bucket.list() if not item.key.endswith("/")}

        def describe(key: str) -> TableInfo:
            # Its columns would need its first bytes at least; a preview shows them.
            return TableInfo(schema_name=None, name=key, kind="file", bytes=sizes[key])

        return page_of_names(action, sizes, describe)

    def preview(self, action: PreviewAction, folder: Path) -> RowsResult:
        from datanika.engines.ad_hoc.files import preview_paths

        config = self.parse(action.connection)
        name, sheet = _split(config, action.table)
        with self._bucket(action.connection) as bucket:
            (first, *_) = self._found(bucket, name)
            if first.size > PREVIEW_BYTES:
                raise TerminalStepError(
                    f"{first.key!r} is too large for a preview.",
                    code="preview_too_large",
                    hint="Load it, and look at the table.",
                )
            paths = _fetch(bucket, [first], folder)
        return preview_paths(config, paths, action, folder, sheet)

    def open_table(self, reading: Reading) -> SourceTable:
        from datanika.engines.dlt_engine.sources.files import open_paths

        config = self.parse(reading.connection)
        name, sheet = _split(config, reading.table.name)
        with self._bucket(reading.connection) as bucket:
            paths = _fetch(bucket, self._found(bucket, name), reading.folder)
        return open_paths(config, paths, reading, sheet)

    def _found(self, bucket: S3Bucket, pattern: str) -> list[S3Object]:
        found = [item for item in bucket.matching(pattern) if not item.key.endswith("/")]
        if not found:
            raise TerminalStepError(
                f"No object matches {pattern!r}.",
                code="file_missing",
                hint="Correct the table's name: a key or a glob in the bucket.",
            )
        return found

    def _bucket(self, connection: ResolvedConnection) -> Any:
        from datanika.engines.dlt_engine.sources.s3 import Keys, S3Bucket

        config = self.parse(connection)
        keys = None
        if config.access_key_id:
            if not config.secret_access_key:
                raise TerminalStepError(
                    f"Connection {connection.name!r} has an access key but no secret.",
                    code="connection_config_invalid",
                    field="config.secret_access_key",
                )
            keys = Keys(config.access_key_id, config.secret_access_key, config.region)
        endpoint = config.endpoint or f"https://s3.{config.region}.amazonaws.com"
        return S3Bucket(endpoint, config.bucket, keys, connection.egress)


S3 = S3Connector()


def _split(config: S3Config, name: str) -> tuple[str, str | None]:
    from datanika.engines.dlt_engine.sources.excel import split_sheet

    return split_sheet(name) if config.format == "excel" else (name, None)


def _fetch(bucket: S3Bucket, items: list[S3Object], folder: Path) -> list[Path]:
    """The objects as files, in their order; their names are ours, their endings are kept."""
    place = Path(tempfile.mkdtemp(prefix="objects-", dir=folder))
    paths = []
    for number, item in enumerate(items):
        ending = "".join(Path(item.key).suffixes[-2:])
        path = place / f"{number:06}{ending if ending.replace('.', '').isalnum() else ''}"
        bucket.fetch(item, path)
        paths.append(path)
    return paths

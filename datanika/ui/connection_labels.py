"""Words of the connector kinds' schemas, and the keys of their translations.

What is missing here is shown as the schema has it: names that are the same everywhere (TLS, SQL).
"""

from __future__ import annotations

LABELS: dict[str, str] = {
    "Host": "field.host",
    "Port": "field.port",
    "Database": "field.database",
    "User": "field.user",
    "Password": "field.password",
    "Encryption": "field.encryption",
    "Service": "field.service",
    "File": "field.file",
    "Format": "field.format",
    "Delimiter": "field.delimiter",
    "Location": "field.location",
    "Account": "field.account",
    "Role": "field.role",
    "Access token": "field.access_token",
    "API token": "field.api_token",
    "Token": "field.token",
    "API key": "field.api_key",
    "Secret key": "field.secret_key",
    "Service account key": "field.service_account_key",
    "Login": "field.login",
    "Endpoints": "field.endpoints",
    "Name": "field.name",
    "Path": "field.path",
    "Base URL": "field.base_url",
    "Records": "field.records",
    "Query parameters": "field.query_parameters",
    "Primary key": "field.primary_key",
    "Paging": "field.paging",
    "Page size": "field.page_size",
    "Cursor column": "field.cursor_column",
    "Document": "field.document",
    "Region": "field.region",
    "Owner": "field.owner",
    "Repository": "field.repository",
    "Domain": "field.domain",
    "Company": "field.company",
    "E-mail": "field.email",
    "First day": "field.first_day",
    "Reports": "field.reports",
}

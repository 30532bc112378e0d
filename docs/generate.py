"""Write the reference pages that the code knows better than a person: ``poe docs``.

Each page is a function from nothing to Markdown; ``PAGES`` says which file it fills. A test
compares the files with what the functions say today.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

# Run as a script, this folder's parent is not on the path.
sys.path.append(str(Path(__file__).parent.parent))
REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `uv run poe docs`. Change the code, not this file. -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; pipes inside cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


def settings_page() -> str:
    """Every field of the two settings classes, with its variable and its default."""
    from datanika.config import Settings
    from datanika.execution.worker_settings import WorkerSettings

    head = ("Variable", "Type", "Default", "Meaning")
    return "\n\n".join(
        [
            "# Settings",
            "Read from the environment, then `.env` in the working directory, then `runtime.env`"
            " in the data folder, which `datanika up` writes. An empty value counts as not set.",
            "## Control plane",
            "`datanika.config.Settings`: web, Celery worker, migrations and the CLI.",
            table(head, map(setting_row, variables(Settings).items())),
            "## Worker",
            "`datanika.execution.worker_settings.WorkerSettings`: from the environment only."
            " A worker never gets the database, the secret key or the encryption keys.",
            table(head, map(setting_row, variables(WorkerSettings).items())),
            "## Production",
            "With `DATANIKA_ENV=production` the platform refuses to start when"
            " `DATABASE_URL`, `DATANIKA_SECRET_KEY`, `DATANIKA_ENCRYPTION_KEYS` or"
            " `DATANIKA_WORKER_TOKEN` is missing or looks like a default.",
        ]
    )


def variables(settings: Any) -> dict[str, Any]:
    """Environment variable -> field, for a pydantic-settings class."""
    prefix = settings.model_config["env_prefix"]
    return {
        field.validation_alias.choices[0]
        if field.validation_alias
        else f"{prefix}{name}".upper(): field
        for name, field in settings.model_fields.items()
    }


def setting_row(item: tuple[str, Any]) -> tuple[str, str, str, str]:
    """One line of the settings table."""
    variable, field = item
    secret = "Secret" in str(field.annotation)
    if field.default_factory is not None:
        default = "user data folder"
    elif field.default in (None, "") or secret:
        default = "not set"
    else:
        default = f"`{field.default}`"
    return f"`{variable}`", type_name(field.annotation), default, field.description or ""


def type_name(annotation: Any) -> str:
    """A field's type in words."""
    arguments = [one for one in get_args(annotation) if one is not type(None)]
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if arguments:
        return type_name(arguments[0])
    return {"SecretStr": "secret", "str": "text", "Path": "path", "int": "integer"}.get(
        annotation.__name__, annotation.__name__
    )


def permissions_page() -> str:
    """The permission table of ``services/permissions.py``, a column per role."""
    from datanika.contracts.enums import Role
    from datanika.services.permissions import PERMISSIONS
    from docs.rest_api import permission_rows

    roles = sorted(Role, key=lambda role: role.rank)
    return "\n\n".join(
        [
            "# Roles and permissions",
            "Each role may do what the ones before it may. An API key carries permissions of this"
            " list as its scopes; it may do what its scopes **and** its creator's present role"
            " allow. Another organisation's things answer 404, a missing permission 403.",
            table(
                ("Permission", *(role.value for role in roles)),
                (
                    (f"`{name}`", *("x" if role.covers(least) else "" for role in roles))
                    for name, least in PERMISSIONS.items()
                ),
            ),
            "Why it is built so: [the permission model](../explanation/permissions.md).",
            "Nobody grants a role at or above their own, nobody acts on an equal or higher member,"
            " and an organisation always has an owner.",
            "## Routes",
            "What each route of the [REST API](rest-api.md) asks of its caller.",
            table(("Route", "Permission", "Least role"), permission_rows()),
        ]
    )


def connections_page() -> str:
    """Every connection kind with the fields of its configuration."""
    from datanika.contracts.catalog import connector_kinds

    kinds = connector_kinds().values()
    return "\n\n".join(
        [
            "# Connection kinds",
            "Fields marked *secret* are encrypted at rest and never returned by any API.",
            "*Verified live*: a test loads from the real thing. The others are built against their"
            " vendor's document or their driver's interface, and tested against that."
            " [Write a connector](../how-to/write-a-connector.md) says how a kind is made.",
            table(
                ("Kind", "Source", "Destination", "dbt", "Verified live"),
                (
                    (
                        f"[`{kind.kind}`](#{kind.kind})",
                        "x" if kind.is_source else "",
                        "x" if kind.is_destination else "",
                        "x" if kind.supports_transform else "",
                        "x" if kind.verified_live else "",
                    )
                    for kind in kinds
                ),
            ),
            *(section for kind in kinds for section in kind_sections(kind)),
        ]
    )


def kind_sections(kind: Any) -> Iterable[str]:
    """A kind's fields, and those of the objects inside its configuration."""
    head = ("Field", "Type", "Required", "Meaning")
    yield f"## {kind.kind}"
    yield f"{kind.title}. {kind.description}".strip()
    if not kind.verified_live:
        yield "Not verified live."
    if kind.docs:
        yield kind.docs
    yield table(head, config_rows(kind.config_schema))
    for name, schema in kind.config_schema.get("$defs", {}).items():
        if "properties" in schema:
            yield f"### {kind.kind}: {name}"
            yield table(head, config_rows(schema))


def config_rows(schema: dict[str, Any]) -> Iterable[tuple[str, str, str, str]]:
    """One line per property of a connection's JSON schema."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        meaning = field.get("description") or f"{field.get('title', name)}."
        if field.get("writeOnly"):
            meaning = f"*secret.* {meaning}"
        if field.get("default") not in (None, "", [], {}):
            meaning = f"{meaning} Default `{field['default']}`."
        yield f"`{name}`", json_type(field), "yes" if name in required else "", meaning.strip()


def json_type(field: dict[str, Any]) -> str:
    """The type of a JSON schema property in words."""
    if "enum" in field:
        return " or ".join(f"`{one}`" for one in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    options = field.get("anyOf") or field.get("oneOf")
    if options:
        names = [json_type(one) for one in options if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(names))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if field.get("type") == "array":
        return f"list of {json_type(field.get('items', {}))}"
    return str(field.get("type", "object"))


def cli_page() -> str:
    """Every command with its arguments and options, from the typer application."""
    import typer
    from typer.main import get_command

    from datanika.cli.main import app

    root = get_command(app)
    context = typer.Context(root, info_name="datanika")
    sections = ["# Command line", (root.help or "").strip()]
    for name in root.list_commands(context):  # type: ignore[attr-defined]
        command = root.get_command(context, name)  # type: ignore[attr-defined]
        arguments = [str(p.name).upper() for p in command.params if p.param_type_name != "option"]
        sections += [
            f"## datanika {' '.join([name, *arguments])}",
            (command.help or "").strip(),
        ]
        options = [
            (", ".join(f"`{opt}`" for opt in [*p.opts, *p.secondary_opts]), getattr(p, "help", ""))
            for p in command.params
            if p.param_type_name == "option"
        ]
        if options:
            sections.append(table(("Option", "Meaning"), ((o, h or "") for o, h in options)))
    return "\n\n".join(sections)


def secrets_page() -> str:
    """Where ciphertexts are, and which of the platform's secrets a process is told."""
    from datanika.runtime import environment
    from datanika.services.encryption import CIPHERTEXTS
    from datanika.services.secret_references import ENV_PREFIX

    told = {
        "web, Celery worker": environment.CONTROL_PLANE,
        "worker": environment.WORKER,
        "maintenance": environment.PREFECT_CLIENT,
        "migrations": environment.MIGRATION,
        "engine child, build of the front end": (),
    }
    names = sorted({name for variables in told.values() for name in variables})
    return "\n\n".join(
        [
            "# Where secrets are",
            "[How secrets flow](../explanation/secrets.md) says what this means.",
            "## At rest",
            "Columns with ciphertexts. `datanika rotate-keys` goes through all of them.",
            table(
                ("Table", "Column", "Holds"),
                ((f"`{c.table.name}`", f"`{c.column}`", c.holds) for c in CIPHERTEXTS),
            ),
            "Passwords are bcrypt. Refresh tokens, cookies, API keys, invitations and links in"
            " mails are stored as sha256.",
            "## What each process of `datanika up` is told",
            "A process gets no variable of the platform but these. The control plane gets"
            f" `{ENV_PREFIX}…`, `DATANIKA_SECRETS_DIR` and limits as well, where they are set.",
            table(
                ("Variable", *told),
                (
                    (
                        f"`{name}`",
                        *("x" if name in variables else "" for variables in told.values()),
                    )
                    for name in names
                ),
            ),
        ]
    )


def rest_api_page() -> str:
    """Every operation of the REST API."""
    from docs.rest_api import rest_page

    return rest_page(table)


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "permissions.md": permissions_page,
    "connections.md": connections_page,
    "cli.md": cli_page,
    "secrets.md": secrets_page,
    "rest-api.md": rest_api_page,
}


def render(name: str) -> str:
    """The whole text of one page."""
    return f"{NOTE}\n\n{PAGES[name]()}\n"


def main() -> None:
    for name in PAGES:
        (REFERENCE / name).write_text(render(name), "utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")


if __name__ == "__main__":
    main()

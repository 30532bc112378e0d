"""A transformation's code, judged by sqlfluff.

sqlfluff renders the Jinja with stand-ins for what dbt gives, so this belongs into the sandbox. Its
own directives in comments could name files and modules to load: they are comments here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from datanika.contracts.ad_hoc import LintIssue, LintResult

MAX_ISSUES = 500
MAX_MESSAGE = 500
_DIALECTS = {"mssql": "tsql"}
"""Kinds of connections that sqlfluff calls otherwise."""
_LAYOUT = ",".join(f"LT{number:02}" for number in range(1, 16))
"""sqlfmt decides how code looks, and sqlfluff would have it otherwise."""
_DIRECTIVE = re.compile(r"(?m)^--( ?)sqlfluff")
_JINJA = ("jinja2.ext.do", "jinja2.ext.loopcontrols")


def lint_sql(sql: str, kind: str, macros: Mapping[str, str]) -> LintResult:
    """The issues of ``sql``, which is for a connection of ``kind``."""
    broken = _jinja_error(sql)
    if broken is not None:
        return _result([broken])
    from sqlfluff.core import FluffConfig, Linter

    config = FluffConfig(
        configs={
            "core": {
                "dialect": _DIALECTS.get(kind, kind),
                "templater": "jinja",
                "exclude_rules": _LAYOUT,
                # What dbt knows and this does not is no mistake; compiling tells.
                "ignore": "templating",
                "large_file_skip_byte_limit": 0,
            },
            "templater": {"jinja": {"apply_dbt_builtins": True, "macros": dict(macros)}},
        }
    )
    # As long as it was, so that columns stay.
    text = _DIRECTIVE.sub(r"--\1sqlfluf ", sql)
    linted = Linter(config=config).lint_string(text, fname="model.sql")
    return _result(_issue(one) for one in linted.get_violations(filter_ignore=True))


def _issue(violation: Any) -> LintIssue:
    known = violation.to_dict()
    rule = str(violation.rule_code())
    line, column = int(violation.line_no), int(violation.line_pos)
    return LintIssue(
        line=line,
        column=column,
        end_line=int(known.get("end_line_no") or line),
        end_column=int(known.get("end_line_pos") or column),
        rule=rule,
        name=str(known.get("name") or {"PRS": "parsing", "LXR": "lexing"}.get(rule, "")),
        message=str(violation.desc())[:MAX_MESSAGE],
        severity="error" if rule in ("PRS", "LXR", "TMP") else "warning",
        fixable=bool(known.get("fixes")),
    )


def _jinja_error(sql: str) -> LintIssue | None:
    from jinja2 import Environment, TemplateSyntaxError

    try:
        # It is parsed here and never rendered.
        Environment(extensions=_JINJA, autoescape=True).parse(sql)
    except TemplateSyntaxError as error:
        if "unknown tag" in str(error.message):
            return None
        return LintIssue(
            line=error.lineno,
            column=1,
            end_line=error.lineno,
            end_column=1,
            rule="JNJ",
            name="jinja",
            message=str(error.message)[:MAX_MESSAGE],
            severity="error",
        )
    return None


def _result(found: Iterable[LintIssue]) -> LintResult:
    issues = sorted(found, key=lambda one: (one.line, one.column, one.rule))
    errors = sum(one.severity == "error" for one in issues)
    return LintResult(
        issues=tuple(issues[:MAX_ISSUES]),
        errors=errors,
        warnings=len(issues) - errors,
        is_truncated=len(issues) > MAX_ISSUES,
    )

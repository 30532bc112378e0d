"""A transformation in sqlfmt's style. sqlfmt reads Jinja and never renders it."""

from __future__ import annotations

from datanika.contracts.ad_hoc import FormatResult
from datanika.errors import TerminalStepError


def format_sql(sql: str) -> FormatResult:
    """Raises :class:`TerminalStepError` ``sql_not_formatted`` with the reason."""
    from sqlfmt.api import Mode, format_string
    from sqlfmt.exception import SqlfmtError

    try:
        # What it does not understand it would leave, and say so in its log only.
        formatted = format_string(sql, Mode(no_progressbar=True, no_color=True))
    except SqlfmtError as error:
        raise TerminalStepError(
            f"This cannot be formatted: {' '.join(str(error).split())}",
            code="sql_not_formatted",
            hint="Is a bracket, a quote or a block of Jinja not closed?",
            field="sql",
        ) from None
    return FormatResult(sql=formatted, is_changed=formatted != sql)

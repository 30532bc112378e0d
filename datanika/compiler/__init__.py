"""From what a tenant wrote to what will run. Pure: same input, same output, no I/O.

``compile_plan`` turns a specification into a :class:`~datanika.contracts.plan.Plan`,
``narrow_plan`` and its kin a plan into the plan of a run that does less of it,
``build_project`` the organisation's transformations into a dbt project, ``explain_*`` a plan into
something to read, ``check_schedule`` validates when a pipeline runs by itself, and ``fires`` tells
when that is.
"""

from datanika.compiler.dbt_project import build_project
from datanika.compiler.explain import (
    explain_mermaid,
    explain_step,
    explain_text,
    plan_warnings,
)
from datanika.compiler.fires import fires, fires_near_shifts, is_fire, jitter_of, next_fires
from datanika.compiler.narrow import Outcome, backfill_plan, narrow_plan, resume_plan
from datanika.compiler.plan import compile_plan
from datanika.compiler.schedule import check_schedule

__all__ = [
    "Outcome",
    "backfill_plan",
    "build_project",
    "check_schedule",
    "compile_plan",
    "explain_mermaid",
    "explain_step",
    "explain_text",
    "narrow_plan",
    "fires",
    "fires_near_shifts",
    "is_fire",
    "jitter_of",
    "next_fires",
    "plan_warnings",
    "resume_plan",
]

"""From what a tenant wrote to what will run. Pure: same input, same output, no I/O.

``compile_plan`` turns a specification into a :class:`~datanika.contracts.plan.Plan`,
``build_project`` the organisation's transformations into a dbt project, ``explain_*`` a plan into
something to read, ``check_schedule`` validates when a pipeline runs by itself.
"""

from datanika.compiler.dbt_project import build_project
from datanika.compiler.explain import explain_mermaid, explain_text, plan_warnings
from datanika.compiler.plan import compile_plan
from datanika.compiler.schedule import check_schedule

__all__ = [
    "build_project",
    "check_schedule",
    "compile_plan",
    "explain_mermaid",
    "explain_text",
    "plan_warnings",
]

"""Column lineage of one SQL query: exact, or unknown with a reason.

Only what is understood is answered. Every kind of clause, source and expression is on a list of
what is; anything else makes the columns it touches ``unknown``, and never a guess.
"""

from datanika.engines.lineage.trace import trace

__all__ = ["trace"]

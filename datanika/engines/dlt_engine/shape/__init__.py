"""Between a source and its table: which rows, which values, and what becomes of bad ones.

``filters`` and ``privacy`` go into the source's own query where its dialect is known here, and are
done on what was read everywhere else; ``table`` decides which.
"""

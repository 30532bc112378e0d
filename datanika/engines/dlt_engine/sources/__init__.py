"""Readers: one table of a source connection as arrow batches, exact in every value."""

"""Measurements, run by hand: ``uv run python -m tests.benchmarks.NAME``.

Each prints one JSON object a line per case, with the versions and the machine's load beside the
figures. They start what they measure on this machine and stop it again.
"""

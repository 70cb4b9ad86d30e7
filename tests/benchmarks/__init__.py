"""Figures of speed, outside the default test run: they print, and fail nobody.

``uv run python -m tests.benchmarks.read_path`` measures lists and details; docs/benchmarks.md tells what came out.
"""

"""The admin of agents."""

from agents.admin import evidence, work  # noqa: F401 (they register themselves)

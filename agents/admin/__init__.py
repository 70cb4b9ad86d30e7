"""The admin of agents."""

from agents.admin import work  # noqa: F401 (they register themselves)

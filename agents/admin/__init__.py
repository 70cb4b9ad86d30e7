"""Admin pages of agents' records."""

from agents.admin import evidence, executions, projects, roster, templates, work  # noqa: F401 (they register themselves)

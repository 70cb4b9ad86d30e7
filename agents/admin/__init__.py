"""Admin pages of agents' records."""

from agents.admin import evidence, projects, roster, templates, traces, work  # noqa: F401 (they register themselves)

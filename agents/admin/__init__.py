"""Admin pages of agents' records."""

from agents.admin import evidence, projects, roster, round_tables, templates, work  # noqa: F401 (they register themselves)

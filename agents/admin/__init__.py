"""Admin pages of agents' records."""

from agents.admin import (  # noqa: F401 (they register themselves)
    evidence,
    projects,
    roster,
    round_tables,
    templates,
    traces,
    work,
)

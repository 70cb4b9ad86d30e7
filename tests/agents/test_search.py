"""Search in lists: what it finds, and that an index finds it, read from the plans of PostgreSQL."""

from typing import Any

import pytest
from django.db import connection

from agents.api.filters.projects import ProjectFilterSet
from agents.api.filters.roster import AgentFilterSet
from agents.api.filters.templates import TemplateFilterSet
from agents.models import Agent, Project, Template
from core.models import Organization
from tests.factories.agents import AgentFactory, ProjectFactory, TemplateFactory
from tests.kit.database import triggers_off

pytestmark = pytest.mark.django_db

ROWS = 20_000
KINDS = [
    pytest.param(AgentFactory, Agent, AgentFilterSet, "agents_agent_name_trigram", id="agents"),
    pytest.param(ProjectFactory, Project, ProjectFilterSet, "agents_project_search", id="projects"),
    pytest.param(TemplateFactory, Template, TemplateFilterSet, "agents_template_search", id="templates"),
]


def multiply(record: Any, rows: int, index: str) -> None:
    """Copy a row many times, each copy with a name of its own."""
    table = record._meta.db_table
    columns = [field.column for field in record._meta.concrete_fields if field.column not in ("id", "name")]
    listed = ", ".join(columns)
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (name, {listed}) SELECT md5(number::text), {listed}"
            f" FROM {table}, generate_series(1, %s) AS number WHERE id = %s",
            [rows, record.pk],
        )
        # As autovacuum would: the planner takes what waits to enter the index into account.
        cursor.execute("SELECT gin_clean_pending_list(%s::regclass)", [index])
        cursor.execute(f"ANALYZE {table}")


@pytest.mark.parametrize(("factory", "model", "filters", "index"), KINDS)
@pytest.mark.parametrize("text", ["needle", "needle hay", "ne"])
def test_search_reads_the_trigram_index(
    organization: Organization, factory: Any, model: Any, filters: Any, index: str, text: str
) -> None:
    multiply(factory(organization=organization, name="A Needle in the Haystack"), ROWS, index)
    rows = model.objects.for_organization(organization)
    found = filters({"search": text}, queryset=rows).qs.order_by("-created_at", "-id")[:51]
    assert [record.name for record in found] == ["A Needle in the Haystack"]
    plan = found.explain()
    assert index in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("HAYSTACK", True),
        ("stack", True),
        ("  needle   hay ", True),
        ("needle straw", False),
        ("n", True),
        ("in", True),
        ("dl", False),
        ("needl%", False),
        ("n_edle", False),
        ("needle\\", False),
        ("% _ \\", True),
        ("needle" + " x" * 20, False),
    ],
)
def test_what_is_found(organization: Organization, text: str, found: bool) -> None:
    AgentFactory(organization=organization, name="A Needle in the Haystack")
    assert AgentFilterSet({"search": text}, queryset=Agent.objects.all()).qs.exists() is found

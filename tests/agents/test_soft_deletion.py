"""Agents and projects that are deleted: gone from the API with what hangs on them, their names free, restorable."""

from typing import Any

import pytest

from agents.models import Agent, Project
from core.models import AuditEvent
from tests.factories.agents import (
    AgentFactory,
    ModificationFactory,
    ProjectContextFactory,
    ProjectFactory,
    SquadFactory,
    SquadMemberFactory,
)
from tests.kit.cast import Actor
from tests.kit.sql import refused

pytestmark = pytest.mark.django_db

KINDS = [
    pytest.param(AgentFactory, "/api/v1/agents/", id="agents"),
    pytest.param(ProjectFactory, "/api/v1/projects/", id="projects"),
]


def event_types(record: Any) -> list[str]:
    return list(AuditEvent.objects.about(record).order_by("timestamp").values_list("event_type", flat=True))


@pytest.mark.parametrize(("factory", "address"), KINDS)
def test_a_deleted_record_is_gone_from_the_api(owner: Actor, factory: Any, address: str) -> None:
    record = factory(organization=owner.organization, name="Gone")
    assert owner.by_key.delete(f"{address}{record.pk}/").status_code == 204
    assert owner.by_key.get(address).json()["results"] == []
    assert owner.by_key.get(f"{address}?search=gone").json()["results"] == []
    assert owner.by_key.get(f"{address}?count=exact").json()["count"] == 0
    for method in ("get", "patch", "delete"):
        assert getattr(owner.by_key, method)(f"{address}{record.pk}/").status_code == 404
    record.refresh_from_db()
    assert record.is_deleted
    noun = record.resource()
    assert event_types(record) == [f"{noun}.create", f"{noun}.delete"]


@pytest.mark.parametrize(
    ("factory", "address"), [(AgentFactory, "/api/v1/agents/"), (ProjectFactory, "/api/v1/projects/")]
)
def test_a_deleted_record_does_not_move(owner: Actor, factory: Any, address: str, writes_nothing: Any) -> None:
    record = factory(organization=owner.organization)
    owner.by_key.delete(f"{address}{record.pk}/")
    with writes_nothing():
        for action in ("start", "heartbeat", "begin", "archive"):
            assert owner.by_key.post(f"{address}{record.pk}/{action}/").status_code == 404


@pytest.mark.parametrize(("factory", "address"), KINDS)
def test_its_name_is_free_again(owner: Actor, factory: Any, address: str) -> None:
    record = factory(organization=owner.organization, name="Phoenix")
    assert owner.by_key.post(address, {"name": "Phoenix"}).status_code == 400
    owner.by_key.delete(f"{address}{record.pk}/")
    assert owner.by_key.post(address, {"name": "Phoenix"}).status_code == 201
    assert type(record).objects.filter(name="Phoenix").count() == 2


@pytest.mark.parametrize(("factory", "address"), KINDS)
def test_a_restored_record_is_back(owner: Actor, factory: Any, address: str) -> None:
    record = factory(organization=owner.organization)
    owner.by_key.delete(f"{address}{record.pk}/")
    assert type(record).objects.filter(pk=record.pk).restore() == 1
    assert owner.by_key.get(f"{address}{record.pk}/").status_code == 200
    assert event_types(record)[-1] == f"{record.resource()}.restore"


@pytest.mark.parametrize(("factory", "table"), [(AgentFactory, "agents_agent"), (ProjectFactory, "agents_project")])
def test_it_is_not_restored_over_another_of_its_name(owner: Actor, factory: Any, table: str) -> None:
    record = factory(organization=owner.organization, name="Phoenix")
    type(record).objects.filter(pk=record.pk).soft_delete()
    factory(organization=owner.organization, name="Phoenix")
    rule = refused(f"UPDATE {table} SET deleted_at = NULL WHERE id = %s", record.pk)
    assert rule == f"{table}_name_unique"


def test_references_to_a_deleted_agent_are_refused_like_unknown_ones(owner: Actor, writes_nothing: Any) -> None:
    agent, squad = AgentFactory(organization=owner.organization), SquadFactory(organization=owner.organization)
    Agent.objects.filter(pk=agent.pk).soft_delete()
    owner.by_key.get("/api/v1/agents/")
    details = []
    for identifier in (str(agent.pk), str(squad.pk)):
        with writes_nothing():
            answer = owner.by_key.post("/api/v1/squad-members/", {"squad": str(squad.pk), "agent": identifier})
        assert answer.status_code == 400
        [error] = answer.json()["errors"]
        details.append((error["field"], error["code"], error["detail"].replace(identifier, "…")))
    assert details[0] == details[1]


def test_references_to_a_deleted_project_are_refused(owner: Actor) -> None:
    project = ProjectFactory(organization=owner.organization)
    Project.objects.filter(pk=project.pk).soft_delete()
    answer = owner.by_key.post("/api/v1/project-contexts/", {"project": str(project.pk)})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "project")


def test_what_hangs_on_a_deleted_record_is_gone_and_comes_back_with_it(owner: Actor) -> None:
    member = SquadMemberFactory(organization=owner.organization)
    context = ProjectContextFactory(organization=owner.organization)
    modification = ModificationFactory(organization=owner.organization, context=context)
    addresses = [
        f"/api/v1/squad-members/{member.pk}/",
        f"/api/v1/project-contexts/{context.pk}/",
        f"/api/v1/modifications/{modification.pk}/",
    ]
    Agent.objects.all().soft_delete()
    Project.objects.all().soft_delete()
    assert [owner.by_key.get(address).status_code for address in addresses] == [404, 404, 404]
    for address in ("squad-members", "project-contexts", "modifications"):
        assert owner.by_key.get(f"/api/v1/{address}/").json()["results"] == []
    assert owner.by_key.get(f"/api/v1/projects/{context.project_id}/compare/?from=1&to=1").status_code == 404
    Agent.objects.all().restore()
    Project.objects.all().restore()
    assert [owner.by_key.get(address).status_code for address in addresses] == [200, 200, 200]


def test_a_modification_of_a_deleted_project_is_not_reviewed(owner: Actor, writes_nothing: Any) -> None:
    modification = ModificationFactory(organization=owner.organization)
    Project.objects.all().soft_delete()
    owner.by_key.get("/api/v1/modifications/")
    with writes_nothing():
        answer = owner.by_key.post(f"/api/v1/modifications/{modification.pk}/approve/", {"comment": "Yes."})
    assert answer.status_code == 404

"""``manage.py purge``: what was deleted long ago goes for good; what others refer to stays, and is named."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, Modification, Project, ProjectContext, SquadMember, Task
from core.models import AuditEvent, Organization
from core.services import retention
from tests.factories.agents import (
    AgentFactory,
    ModificationFactory,
    ProjectContextFactory,
    ProjectFactory,
    SquadMemberFactory,
)

pytestmark = pytest.mark.django_db


def delete(record: Any, *, days_ago: float = 100) -> Any:
    """Delete a record softly, so many days ago."""
    type(record).objects.filter(pk=record.pk).update(deleted_at=timezone.now() - timedelta(days=days_ago))
    return record


def purge(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[str], list[str]]:
    """Run the command, and return the lines that it writes to standard output and to standard error."""
    capsys.readouterr()
    call_command("purge", "--older-than", "90d", *arguments)
    out, err = capsys.readouterr()
    return out.splitlines(), err.splitlines()


@pytest.fixture
def story(organization: Organization) -> dict[str, Any]:
    """An agent in a squad and a project with two contexts and a modification, deleted long ago; and others."""
    member = SquadMemberFactory(organization=organization)
    delete(member.agent)
    project = delete(ProjectFactory(organization=organization))
    contexts = ProjectContextFactory.create_batch(2, organization=organization, project=project)
    ModificationFactory(organization=organization, context=contexts[0])
    return {
        "recent": delete(AgentFactory(organization=organization), days_ago=89),
        "alive": ProjectContextFactory(organization=organization).project,
    }


def test_what_was_deleted_long_ago_goes_with_what_hangs_on_it(
    story: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = purge(capsys)
    assert out == [
        "Removed 1 agent.",
        "Removed 1 modification.",
        "Removed 1 project.",
        "Removed 2 project contexts.",
        "Removed 1 squad member.",
    ]
    assert err == []
    assert Agent.objects.get() == story["recent"]
    assert Project.objects.get() == story["alive"]
    assert ProjectContext.objects.get().project == story["alive"]
    assert not SquadMember.objects.exists()
    assert not Modification.objects.exists()


def test_a_dry_run_says_the_same_and_changes_nothing(
    story: dict[str, Any], capsys: pytest.CaptureFixture[str], writes_nothing: Any
) -> None:
    with writes_nothing():
        would, _ = purge(capsys, "--dry-run")
    did, _ = purge(capsys)
    assert [line.replace("Would remove", "Removed") for line in would] == did


def test_nothing_to_remove(organization: Organization, capsys: pytest.CaptureFixture[str]) -> None:
    AgentFactory(organization=organization)
    assert purge(capsys) == (["There is nothing to remove."], [])


def test_every_row_that_goes_is_an_event_of_the_command(
    story: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    before = timezone.now()
    purge(capsys)
    events = AuditEvent.objects.filter(timestamp__gt=before)
    assert set(events.values_list("event_type", flat=True)) == {
        f"{noun}.delete" for noun in ("agent", "squad_member", "project", "project_context", "modification")
    }
    assert {(event.details["source"], event.details["command"]) for event in events} == {("command", "purge")}


def test_what_others_refer_to_stays_and_is_named(
    organization: Organization, capsys: pytest.CaptureFixture[str], protected_project: Project
) -> None:
    free = delete(ProjectFactory(organization=organization))
    out, err = purge(capsys)
    assert out == ["Removed 1 project."]
    assert err == [
        f"Kept project {protected_project} ({protected_project.pk}): still referred to, itself or its parts, by 1 task."
    ]
    assert Project.objects.get() == protected_project
    assert protected_project.contexts.count() == 1
    assert not Project.objects.filter(pk=free.pk).exists()


@pytest.fixture
def protected_project(organization: Organization) -> Project:
    """A deleted project with a context, that a task still refers to."""
    project = delete(ProjectContextFactory(organization=organization).project)
    Task.objects.create(organization=organization, project=project, name="Look after it")
    return project


def test_what_is_restored_meanwhile_stays(organization: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = delete(AgentFactory(organization=organization))
    found = retention._batches

    def restored_meanwhile(model: Any, deleted_before: datetime) -> Any:
        for keys in found(model, deleted_before):
            model._base_manager.filter(pk__in=keys).update(deleted_at=None)
            yield keys

    monkeypatch.setattr(retention, "_batches", restored_meanwhile)
    assert not retention.purge(deleted_before=timezone.now()).removed
    assert not Agent.objects.get(pk=agent.pk).is_deleted


def test_batches_and_children_s_batches_end(organization: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "CHILD_BATCH", 2)
    for project in ProjectFactory.create_batch(5, organization=organization):
        ProjectContextFactory.create_batch(3, organization=organization, project=project)
        delete(project)
    outcome = retention.purge(deleted_before=timezone.now())
    assert (outcome.removed[Project], outcome.removed[ProjectContext], outcome.held) == (5, 15, [])


def test_queries_grow_with_batches_not_with_rows(organization: Organization) -> None:
    counts = []
    for number in (2, 40):
        for agent in AgentFactory.create_batch(number, organization=organization):
            delete(agent)
        with CaptureQueriesContext(connection) as queries:
            retention.purge(deleted_before=timezone.now())
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_those_who_refer_go_before_those_they_refer_to() -> None:
    order = retention.purgeable()
    assert {Agent, Project} <= set(order)
    for position, model in enumerate(order):
        later = set(order[position + 1 :])
        assert not {relation.related_model for relation in model._meta.related_objects} & later


@pytest.mark.parametrize("text", ["90", "d", "-1d", "1.5d", "90 d", "90m", "999999w", ""])
def test_a_wrong_age_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="--older-than"):
        call_command("purge", f"--older-than={text}")


def test_an_age_is_needed() -> None:
    with pytest.raises(CommandError, match="--older-than"):
        call_command("purge")


@pytest.mark.parametrize(("text", "left"), [("48h", 1), ("3d", 2), ("1w", 3)])
def test_ages(organization: Organization, text: str, left: int) -> None:
    for days in (1, 2.5, 5, 10):
        delete(AgentFactory(organization=organization), days_ago=days)
    call_command("purge", "--older-than", text)
    assert Agent.objects.count() == left

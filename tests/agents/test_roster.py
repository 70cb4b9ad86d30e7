"""Agents, squads and their members: their endpoints, and the rules that the database keeps."""

from functools import partial
from typing import Any

import pytest

from agents.models import Agent, Squad, SquadMember
from agents.services import roster
from core.models import AuditEvent, Organization
from tests.factories.agents import AgentFactory, ProjectFactory, SquadFactory, SquadMemberFactory
from tests.kit.cast import Actor
from tests.kit.races import errors, race
from tests.kit.sql import refused, run

pytestmark = pytest.mark.django_db

AGENTS, SQUADS, MEMBERS = "/api/v1/agents/", "/api/v1/squads/", "/api/v1/squad-members/"


def events(record: Any) -> list[str]:
    return list(AuditEvent.objects.about(record).order_by("timestamp").values_list("event_type", flat=True))


# --- Agents ----------------------------------------------------------------------------------------


def test_an_agent_is_made_by_who_asked(teammate: Actor) -> None:
    body = {
        "name": "Ada",
        "kind": "browser",
        "channel": "chrome",
        "headless": True,
        "tools": ["click", "read"],
        "config": {"retries": 2},
    }
    answer = teammate.by_key.post(AGENTS, body)
    assert answer.status_code == 201
    made = answer.json()
    assert {name: made[name] for name in body} == body
    assert made["status"] == "created"
    assert made["created_by"] == str(teammate.user.pk)
    assert made["total_actions"] == 0
    assert Agent.objects.get().organization == teammate.organization


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "name", "required"),
        ({"name": ""}, "name", "blank"),
        ({"name": "Ada", "kind": "ghost"}, "kind", "invalid_choice"),
        ({"name": "Ada", "headless": True}, None, "invalid"),
        ({"name": "Ada", "config": ["a"]}, "config", "invalid"),
        ({"name": "Ada", "colour": "red"}, "colour", "unknown"),
        ({"name": "Taken"}, "name", "unique"),
    ],
)
def test_a_bad_agent_is_refused_with_the_field(
    owner: Actor, writes_nothing: Any, body: dict[str, Any], field: str | None, code: str
) -> None:
    AgentFactory(organization=owner.organization, name="Taken")
    owner.by_key.get(AGENTS)
    with writes_nothing():
        answer = owner.by_key.post(AGENTS, body)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["field"], error["code"]) == (field, code)


def test_status_and_counts_are_not_written_directly(owner: Actor) -> None:
    agent = AgentFactory(organization=owner.organization)
    owner.by_key.patch(f"{AGENTS}{agent.pk}/", {"status": "running", "total_actions": 9, "created_by": None})
    agent.refresh_from_db()
    assert (agent.status, agent.total_actions) == ("created", 0)


def test_an_agent_starts_runs_and_stops(owner: Actor) -> None:
    agent = AgentFactory(organization=owner.organization)
    for action, status in [("start", "starting"), ("run", "running"), ("fail", "error"), ("stop", "stopped")]:
        answer = owner.by_key.post(f"{AGENTS}{agent.pk}/{action}/")
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert events(agent) == ["agent.create", "agent.start", "agent.run", "agent.fail", "agent.stop"]


def test_a_move_from_the_wrong_status_names_both(owner: Actor, writes_nothing: Any) -> None:
    agent = AgentFactory(organization=owner.organization, status="running")
    owner.by_key.get(AGENTS)
    with writes_nothing():
        answer = owner.by_key.post(f"{AGENTS}{agent.pk}/start/")
    assert answer.status_code == 409
    assert answer.json()["type"] == "/api/problems/transition_conflict/"
    assert "'running'" in answer.json()["detail"]
    assert "'starting'" in answer.json()["detail"]


def test_a_heartbeat_adds_to_the_counts(owner: Actor) -> None:
    agent = AgentFactory(organization=owner.organization)
    owner.by_key.post(f"{AGENTS}{agent.pk}/heartbeat/", {"actions": 3, "errors": 1})
    answer = owner.by_key.post(f"{AGENTS}{agent.pk}/heartbeat/", {"actions": 2})
    assert (answer.json()["total_actions"], answer.json()["total_errors"]) == (5, 1)
    assert answer.json()["last_seen_at"] is not None
    assert events(agent) == ["agent.create"]


def test_a_heartbeat_with_more_errors_than_actions_is_refused(owner: Actor) -> None:
    agent = AgentFactory(organization=owner.organization)
    answer = owner.by_key.post(f"{AGENTS}{agent.pk}/heartbeat/", {"actions": 1, "errors": 2})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "errors")


@pytest.mark.django_db(transaction=True)
def test_heartbeats_at_once_are_all_counted(organization: Organization) -> None:
    agent = AgentFactory(organization=organization)
    assert errors(race(*[partial(roster.report_activity, agent=agent, actions=2, errors=1)] * 8)) == []
    agent.refresh_from_db()
    assert (agent.total_actions, agent.total_errors) == (16, 8)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=running,error", {"Bea", "Cy"}),
        ("kind=browser", {"Ada"}),
        ("tools=read", {"Ada", "Bea"}),
        ("tools=read,click", {"Ada"}),
        ("name=Cy", {"Cy"}),
        ("search=cy", {"Cy"}),
    ],
)
def test_agents_can_be_filtered(owner: Actor, query: str, names: set[str]) -> None:
    make = partial(AgentFactory, organization=owner.organization)
    make(name="Ada", kind="browser", tools=["read", "click"])
    make(name="Bea", status="running", tools=["read"])
    make(name="Cy", status="error")
    results = owner.by_key.get(f"{AGENTS}?{query}").json()["results"]
    assert {row["name"] for row in results} == names


# --- Squads and members ----------------------------------------------------------------------------


def test_a_squad_pauses_resumes_and_is_archived_for_good(owner: Actor) -> None:
    squad = SquadFactory(organization=owner.organization)
    for action, status in [("pause", "paused"), ("resume", "active"), ("archive", "archived")]:
        assert owner.by_key.post(f"{SQUADS}{squad.pk}/{action}/").json()["status"] == status
    assert owner.by_key.post(f"{SQUADS}{squad.pk}/resume/").status_code == 409
    assert events(squad) == ["squad.create", "squad.pause", "squad.resume", "squad.archive"]


def test_a_squad_s_owner_is_of_the_organization(owner: Actor, stranger: Actor) -> None:
    answer = owner.by_key.post(SQUADS, {"name": "Core", "owner": str(stranger.user.pk)})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "owner")
    assert owner.by_key.post(SQUADS, {"name": "Core", "owner": str(owner.user.pk)}).status_code == 201


def test_a_squad_with_projects_is_not_deleted(owner: Actor, writes_nothing: Any) -> None:
    squad = SquadFactory(organization=owner.organization)
    ProjectFactory(organization=owner.organization, squad=squad)
    owner.by_key.get(SQUADS)
    with writes_nothing():
        answer = owner.by_key.delete(f"{SQUADS}{squad.pk}/")
    assert (answer.status_code, answer.json()["type"]) == (409, "/api/problems/still_referred_to/")


def test_a_squad_takes_its_members_along(owner: Actor) -> None:
    member = SquadMemberFactory(organization=owner.organization)
    assert owner.by_key.delete(f"{SQUADS}{member.squad_id}/").status_code == 204
    assert not SquadMember.objects.exists()
    assert Agent.objects.filter(pk=member.agent_id).exists()


def test_a_member_is_listed_with_the_agent_s_name(owner: Actor) -> None:
    agent = AgentFactory(organization=owner.organization, name="Ada")
    squad = SquadFactory(organization=owner.organization)
    body = {"squad": str(squad.pk), "agent": str(agent.pk), "role": "architect"}
    assert owner.by_key.post(MEMBERS, body).status_code == 201
    [row] = owner.by_key.get(MEMBERS, {"squad": str(squad.pk), "role": "architect,tester"}).json()["results"]
    assert (row["agent_name"], row["role"], row["is_active"]) == ("Ada", "architect", True)


def test_a_member_never_becomes_another_s(owner: Actor, writes_nothing: Any) -> None:
    member = SquadMemberFactory(organization=owner.organization)
    other = AgentFactory(organization=owner.organization)
    owner.by_key.get(MEMBERS)
    with writes_nothing():
        answer = owner.by_key.patch(f"{MEMBERS}{member.pk}/", {"agent": str(other.pk)})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "unknown")


@pytest.mark.parametrize("field", ["squad", "agent"])
def test_a_member_of_another_organization_s_is_refused_like_an_unknown_one(
    owner: Actor, stranger: Actor, field: str, writes_nothing: Any
) -> None:
    ours = SquadMemberFactory(organization=owner.organization)
    theirs = SquadMemberFactory(organization=stranger.organization)
    owner.by_key.get(MEMBERS)
    body = {"squad": str(ours.squad_id), "agent": str(AgentFactory(organization=owner.organization).pk)}
    details = []
    for identifier in (str(getattr(theirs, f"{field}_id")), str(owner.user.pk)):
        with writes_nothing():
            answer = owner.by_key.post(MEMBERS, body | {field: identifier})
        assert answer.status_code == 400
        details.append(answer.json()["errors"][0]["detail"].replace(identifier, "…"))
    assert details[0] == details[1]


# --- The rules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("name = ''", "agents_agent_name_given"),
        ("name = 'Taken'", "agents_agent_name_unique"),
        ("kind = 'ghost'", "agents_agent_kind"),
        ("status = 'running'", "agents_agent_status_transitions"),
        ("headless = true", "agents_agent_browser_only"),
        ("channel = 'chrome'", "agents_agent_browser_only"),
        ("total_actions = -1, total_errors = -1", "agents_agent_total_actions_check"),
        ("total_errors = 1", "agents_agent_errors_are_actions"),
        ("config = '[]'", "agents_agent_config_object"),
        ("organization_id = gen_random_uuid()", "agents_agent_organization_id_immutable"),
    ],
)
def test_rules_of_an_agent(organization: Organization, change: str, rule: str) -> None:
    AgentFactory(organization=organization, name="Taken")
    agent = AgentFactory(organization=organization)
    assert refused(f"UPDATE agents_agent SET {change} WHERE id = %s", agent.pk) == rule


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("name = ''", "agents_squad_name_given"),
        ("name = 'Taken'", "agents_squad_name_unique"),
        ("status = 'nonsense'", "agents_squad_status_transitions"),
        ("settings = '1'", "agents_squad_settings_object"),
        ("owner_id = gen_random_uuid()", "agents_squad_owner_id"),
    ],
)
def test_rules_of_a_squad(organization: Organization, change: str, rule: str) -> None:
    SquadFactory(organization=organization, name="Taken")
    squad = SquadFactory(organization=organization)
    assert refused(f"UPDATE agents_squad SET {change} WHERE id = %s", squad.pk).startswith(rule)


def test_an_archived_squad_stays_archived(organization: Organization) -> None:
    squad = SquadFactory(organization=organization, status="archived")
    rule = refused("UPDATE agents_squad SET status = 'active' WHERE id = %s", squad.pk)
    assert rule == "agents_squad_status_transitions"


def test_one_agent_has_a_role_once_in_a_squad(organization: Organization) -> None:
    member = SquadMemberFactory(organization=organization)
    copy = (
        "INSERT INTO agents_squadmember (organization_id, squad_id, agent_id, role, system_prompt, model_provider,"
        " model_name, is_active) SELECT organization_id, squad_id, agent_id, role, '', '', '', true"
        " FROM agents_squadmember WHERE id = %s"
    )
    assert refused(copy, member.pk) == "agents_squadmember_part"


@pytest.mark.parametrize("column", ["squad_id", "agent_id"])
def test_a_member_s_squad_and_agent_never_change(organization: Organization, column: str) -> None:
    member, other = SquadMemberFactory.create_batch(2, organization=organization)
    rule = refused(f"UPDATE agents_squadmember SET {column} = %s WHERE id = %s", getattr(other, column), member.pk)
    assert rule == f"agents_squadmember_{column}_immutable"


@pytest.mark.parametrize("column", ["squad_id", "agent_id"])
def test_a_member_s_squad_and_agent_are_of_its_organization(
    organization: Organization, other_organization: Organization, column: str
) -> None:
    ours, theirs = (SquadMemberFactory(organization=each) for each in (organization, other_organization))
    values = {"squad_id": ours.squad_id, "agent_id": ours.agent_id, column: getattr(theirs, column)}
    rule = refused(
        "INSERT INTO agents_squadmember (organization_id, squad_id, agent_id, role, system_prompt, model_provider,"
        " model_name, is_active) VALUES (%s, %s, %s, 'tester', '', '', '', true)",
        organization.pk,
        values["squad_id"],
        values["agent_id"],
    )
    assert rule == f"agents_squadmember_{column.removesuffix('_id')}"


def test_an_agent_in_a_squad_is_not_removed_behind_its_back(organization: Organization) -> None:
    member = SquadMemberFactory(organization=organization)
    assert refused("DELETE FROM agents_agent WHERE id = %s", member.agent_id) == "agents_squadmember_agent"
    assert refused("DELETE FROM agents_squad WHERE id = %s", member.squad_id) == "agents_squadmember_squad"


def test_a_raw_update_of_a_status_is_an_event_with_its_verb(organization: Organization) -> None:
    squad = SquadFactory(organization=organization)
    run("UPDATE agents_squad SET status = 'paused' WHERE id = %s", squad.pk)
    assert events(squad) == ["squad.create", "squad.pause"]
    assert Squad.objects.get().status == "paused"

"""Messages between members of squads: said once, to somebody or all, and unchanged since."""

from typing import Any
from uuid import uuid4

import pytest

from agents.models import AgentMessage, SquadMember, Task, TaskRun
from core.models import Organization
from tests.factories.agents import SquadMemberFactory, TaskRunFactory
from tests.kit.cast import Actor
from tests.kit.database import writes_nothing
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = pytest.mark.django_db

MESSAGES = "/api/v1/agent-messages/"


@pytest.fixture
def ada(organization: Organization) -> SquadMember:
    return SquadMemberFactory(organization=organization)


@pytest.fixture
def bob(organization: Organization) -> SquadMember:
    return SquadMemberFactory(organization=organization)


@pytest.fixture
def task_run(organization: Organization) -> TaskRun:
    return TaskRunFactory(organization=organization)


@pytest.fixture
def message(task_run: TaskRun, ada: SquadMember, bob: SquadMember) -> AgentMessage:
    return AgentMessage.objects.create(
        organization=task_run.organization,
        task_run=task_run,
        sender=ada,
        recipient=bob,
        message_type="question",
        content="Why?",
        thread=uuid4(),
    )


# --- Saying ----------------------------------------------------------------------------------------


def test_a_message_is_said_to_somebody_in_a_thread(
    owner: Actor, task_run: TaskRun, ada: SquadMember, bob: SquadMember
) -> None:
    body = {
        "task_run": str(task_run.pk),
        "sender": str(ada.pk),
        "recipient": str(bob.pk),
        "message_type": "handoff",
        "content": "Yours now.",
        "metadata": {"files": ["a.py"]},
        "thread": str(uuid4()),
    }
    answer = owner.by_key.post(MESSAGES, body)
    assert answer.status_code == 201, answer.content
    assert answer.json() | body == answer.json()
    assert owner.by_key.get(answer["Location"]).json() == answer.json()


def test_a_message_without_a_recipient_is_for_all(owner: Actor, task_run: TaskRun, ada: SquadMember) -> None:
    answer = owner.by_key.post(MESSAGES, {"task_run": str(task_run.pk), "sender": str(ada.pk), "content": "Done."})
    said = answer.json()
    assert (answer.status_code, said["recipient"], said["message_type"], said["thread"]) == (201, None, "status", None)


def test_a_thousand_messages_are_said_at_once_in_few_queries(
    owner: Actor, task_run: TaskRun, ada: SquadMember, django_assert_max_num_queries: Any
) -> None:
    rows = [{"task_run": str(task_run.pk), "sender": str(ada.pk), "content": f"Line {n}"} for n in range(1000)]
    client = owner.by_key
    client.get(MESSAGES)
    with django_assert_max_num_queries(15):
        answer = client.post(MESSAGES, rows)
    assert answer.status_code == 201
    assert [row["content"] for row in answer.json()] == [row["content"] for row in rows]


def test_of_many_messages_all_are_said_or_none(owner: Actor, task_run: TaskRun, ada: SquadMember) -> None:
    good = {"task_run": str(task_run.pk), "sender": str(ada.pk), "content": "Good"}
    for broken, field in (
        (good | {"content": ""}, "2.content"),
        (good | {"sender": str(uuid4())}, "2.sender"),
        (good | {"message_type": "gossip"}, "2.message_type"),
        (good | {"recipient": str(ada.pk)}, "2"),
    ):
        with writes_nothing():
            answer = owner.client.post(MESSAGES, [good, good, broken])
        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_what_a_message_refers_to_is_of_the_organization(
    stranger: Actor, message: AgentMessage, other_organization: Organization
) -> None:
    own = {
        "task_run": TaskRunFactory(organization=other_organization),
        "sender": SquadMemberFactory(organization=other_organization),
        "recipient": SquadMemberFactory(organization=other_organization),
    }
    for field in own:
        body = {name: str(row.pk) for name, row in own.items()} | {field: str(getattr(message, f"{field}_id"))}
        with writes_nothing():
            answer = stranger.client.post(MESSAGES, body | {"content": "x"})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == field


def test_a_message_is_neither_changed_nor_deleted(owner: Actor, message: AgentMessage) -> None:
    address = f"{MESSAGES}{message.pk}/"
    assert owner.by_key.patch(address, {"content": "Because."}).status_code == 405
    assert owner.by_key.delete(address).status_code == 405


def test_messages_are_filtered(owner: Actor, message: AgentMessage, ada: SquadMember, bob: SquadMember) -> None:
    AgentMessage.objects.create(
        organization=message.organization,
        task_run=TaskRunFactory(organization=message.organization),
        sender=bob,
        content="Other",
    )
    for query in (
        f"task_run={message.task_run_id}",
        f"thread={message.thread}",
        f"sender={ada.pk}",
        f"recipient={bob.pk}",
        "message_type=question,answer",
    ):
        rows = owner.by_key.get(f"{MESSAGES}?{query}").json()["results"]
        assert [row["id"] for row in rows] == [str(message.pk)], query


# --- Rules -----------------------------------------------------------------------------------------

INSERT = (
    "INSERT INTO agents_agentmessage (organization_id, task_run_id, sender_id, recipient_id, message_type, content,"
    " metadata) VALUES (%s, %s, %s, %s, %s, %s, %s)"
)


@pytest.mark.parametrize(
    ("position", "value", "rule"),
    [
        (4, "gossip", "agents_agentmessage_type"),
        (5, "", "agents_agentmessage_content_given"),
        (6, "[]", "agents_agentmessage_metadata_object"),
        (1, uuid4(), "agents_agentmessage_task_run"),
        (2, uuid4(), "agents_agentmessage_sender"),
        (3, uuid4(), "agents_agentmessage_recipient"),
    ],
)
def test_a_message_is_in_order(message: AgentMessage, position: int, value: Any, rule: str) -> None:
    values = [
        *(message.organization_id, message.task_run_id, message.sender_id, message.recipient_id),
        *("status", "text", "{}"),
    ]
    run(INSERT, *values)
    values[position] = value
    assert refused(INSERT, *values) == rule


def test_nobody_writes_to_themselves(message: AgentMessage) -> None:
    place = (message.organization_id, message.task_run_id, message.sender_id, message.sender_id)
    assert refused(INSERT, *place, "status", "text", "{}") == "agents_agentmessage_two_parties"


def test_who_speaks_and_where_are_of_the_messages_organization(
    message: AgentMessage, other_organization: Organization
) -> None:
    theirs = {
        1: ("agents_agentmessage_task_run", TaskRunFactory(organization=other_organization)),
        2: ("agents_agentmessage_sender", SquadMemberFactory(organization=other_organization)),
        3: ("agents_agentmessage_recipient", SquadMemberFactory(organization=other_organization)),
    }
    for position, (rule, row) in theirs.items():
        values: list[Any] = [
            *(message.organization_id, message.task_run_id, message.sender_id, message.recipient_id),
            *("status", "text", "{}"),
        ]
        values[position] = row.pk
        assert refused(INSERT, *values) == rule


@pytest.mark.parametrize(
    "change",
    [
        "task_run_id = gen_random_uuid()",
        "sender_id = gen_random_uuid()",
        "recipient_id = NULL",
        "message_type = 'answer'",
        "content = 'Because.'",
        "metadata = '{\"a\": 1}'",
        "thread = NULL",
    ],
)
def test_a_message_stands_as_it_was_said(message: AgentMessage, change: str) -> None:
    column = change.partition(" ")[0]
    for _ in range(2):
        assert refused(f"UPDATE agents_agentmessage SET {change}") == f"agents_agentmessage_{column}_immutable"
        ignore_all_triggers()


def test_messages_go_with_their_task_and_members_stay(message: AgentMessage) -> None:
    assert refused("DELETE FROM agents_squadmember") == "agents_agentmessage_sender"
    message.task_run.task.delete()
    assert not AgentMessage.objects.exists()
    assert not Task.objects.exists()
    assert SquadMember.objects.count() == 2

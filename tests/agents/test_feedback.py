"""Feedback over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest

from agents.models import Feedback, LearningInsight
from core.models import AuditEvent, Organization
from tests.factories.agents import (
    AgentExecutionFactory,
    AgentMessageFactory,
    FeedbackFactory,
    RoundTableEntryFactory,
    SquadFactory,
    TaskRunFactory,
)
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db

FEEDBACK = "/api/v1/feedback/"


FACTORIES: dict[str, Any] = {
    "task_run": TaskRunFactory,
    "message": AgentMessageFactory,
    "execution": AgentExecutionFactory,
    "round_table_entry": RoundTableEntryFactory,
}


@pytest.mark.parametrize("target", FACTORIES)
def test_feedback_is_given_in_ones_own_name(target: str, teammate: Actor) -> None:
    record = FACTORIES[target](organization=teammate.organization)
    body = {target: str(record.pk), "rating": 4, "category": "style", "comment": "Neat.", "tags": ["tidy", "quick"]}
    answer = teammate.by_key.post(FEEDBACK, body)
    assert answer.status_code == 201, answer.json()
    given = answer.json()
    assert given.items() >= (body | {"user": str(teammate.user.pk), "thumbs_up": None}).items()
    assert AuditEvent.objects.get(event_type="feedback.create").user_id == teammate.user.pk


def test_nobody_speaks_in_anothers_name(teammate: Actor, owner: Actor) -> None:
    run = TaskRunFactory(organization=teammate.organization)
    answer = teammate.by_key.post(FEEDBACK, {"task_run": str(run.pk), "rating": 1, "user": str(owner.user.pk)})
    assert answer.json()["user"] == str(teammate.user.pk)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"task_run": None}, None),
        ({"rating": 0}, "rating"),
        ({"rating": 6}, "rating"),
        ({"rating": None}, None),
        ({"comment": "\0"}, "comment"),
        ({"stars": 5}, "stars"),
    ],
)
def test_feedback_is_refused(
    change: dict[str, Any], field: str | None, teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    run = TaskRunFactory(organization=teammate.organization)
    with writes_nothing():
        answer = teammate.by_key.post(FEEDBACK, {"task_run": str(run.pk), "rating": 4} | change)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_feedback_has_one_target(teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    targets = {name: str(factory(organization=teammate.organization).pk) for name, factory in FACTORIES.items()}
    with writes_nothing():
        for left_out in (*targets, None):
            body = {name: pk for name, pk in targets.items() if name != left_out}
            answer = teammate.by_key.post(FEEDBACK, body | {"rating": 4})
            assert "exactly one target" in answer.json()["detail"]


@pytest.mark.parametrize("target", FACTORIES)
def test_feedback_is_about_our_own_work(
    target: str, teammate: Actor, other_organization: Organization, writes_nothing: Callable[[], Any]
) -> None:
    record = FACTORIES[target](organization=other_organization)
    with writes_nothing():
        answer = teammate.by_key.post(FEEDBACK, {target: str(record.pk), "rating": 4})
    assert answer.json()["errors"][0].items() >= {"field": target, "code": "does_not_exist"}.items()


def test_an_insight_is_drafted_from_feedback_on_an_execution(teammate: Actor) -> None:
    organization = teammate.organization
    squad, run = SquadFactory(organization=organization), TaskRunFactory(organization=organization)
    for fields, expected in (({}, None), ({"squad": squad}, squad.pk), ({"task_run": run}, None)):
        execution = AgentExecutionFactory(organization=organization, **fields)
        feedback = FeedbackFactory(organization=organization, task_run=None, execution=execution)
        answer = teammate.by_key.post(f"{FEEDBACK}{feedback.pk}/draft-insight/", {})
        assert answer.status_code == 201, answer.json()
        drafted = LearningInsight.objects.get(pk=answer.json()["id"])
        assert (drafted.source_feedback_id, drafted.squad_id) == (feedback.pk, expected)
        assert drafted.source_run_id == execution.task_run_id


def test_an_insight_is_drafted_from_feedback_on_an_entry(teammate: Actor) -> None:
    entry = RoundTableEntryFactory(organization=teammate.organization)
    body = {"round_table_entry": str(entry.pk), "thumbs_up": False, "comment": "Rounds too early."}
    given = teammate.by_key.post(FEEDBACK, body).json()
    found = teammate.by_key.get(FEEDBACK, {"round_table_entry": str(entry.pk)}).json()["results"]
    assert [each["id"] for each in found] == [given["id"]]
    answer = teammate.by_key.post(f"{FEEDBACK}{given['id']}/draft-insight/", {})
    assert answer.status_code == 201, answer.json()
    drafted = answer.json()
    assert (drafted["insight"], drafted["squad"], drafted["source_run"]) == ("Rounds too early.", None, None)
    refused = teammate.by_key.delete(f"/api/v1/round-tables/{entry.round_table_id}/")
    assert refused.status_code == 409, "It is the source of an insight."


def test_the_author_changes_it_and_takes_it_back(teammate: Actor) -> None:
    feedback = FeedbackFactory(organization=teammate.organization, user=teammate.user)
    answer = teammate.by_key.patch(f"{FEEDBACK}{feedback.pk}/", {"rating": 2})
    assert (answer.status_code, answer.json()["rating"]) == (200, 2)
    assert teammate.by_key.delete(f"{FEEDBACK}{feedback.pk}/").status_code == 204
    assert not Feedback.objects.exists()


def test_of_others_feedback_only_an_admin_disposes(
    teammate: Actor, admin: Actor, owner: Actor, writes_nothing: Callable[[], Any]
) -> None:
    feedback = FeedbackFactory(organization=teammate.organization, user=owner.user)
    address = f"{FEEDBACK}{feedback.pk}/"
    with writes_nothing():
        assert teammate.by_key.patch(address, {"rating": 2}).status_code == 403
        assert teammate.by_key.delete(address).status_code == 403
    assert admin.by_key.patch(address, {"rating": 2}).status_code == 200
    assert admin.by_key.delete(address).status_code == 204


def test_feedback_stays_with_its_target(teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    feedback = FeedbackFactory(organization=teammate.organization, user=teammate.user)
    other = TaskRunFactory(organization=teammate.organization)
    with writes_nothing():
        answer = teammate.by_key.patch(f"{FEEDBACK}{feedback.pk}/", {"task_run": str(other.pk)})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "task_run"


def test_viewers_and_strangers_write_nothing(
    viewer: Actor, stranger: Actor, customer: Actor, writes_nothing: Callable[[], Any]
) -> None:
    feedback = FeedbackFactory(organization=viewer.organization)
    body = {"task_run": str(feedback.task_run_id), "rating": 1}
    address = f"{FEEDBACK}{feedback.pk}/"
    with writes_nothing():
        for actor, on_record, on_list in ((viewer, 403, 403), (customer, 403, 403), (stranger, 404, 400)):
            assert actor.by_key.post(FEEDBACK, body).status_code == on_list
            assert actor.by_key.patch(address, {"rating": 1}).status_code == on_record
            assert actor.by_key.delete(address).status_code == on_record
            assert actor.by_key.post(f"{address}draft-insight/", {"insight": "x"}).status_code == on_record


def test_a_list_is_filtered(viewer: Actor, owner: Actor) -> None:
    organization = viewer.organization
    message = AgentMessageFactory(organization=organization)
    one = FeedbackFactory(organization=organization, user=owner.user, rating=1, category="style", tags=["a", "b"])
    two = FeedbackFactory(
        organization=organization, task_run=None, message=message, rating=None, thumbs_up=False, tags=["b"]
    )
    three = FeedbackFactory(
        organization=organization,
        task_run=None,
        execution=AgentExecutionFactory(organization=organization),
        rating=5,
        category="speed",
    )

    def found(**query: Any) -> list[Any]:
        answer = viewer.by_key.get(FEEDBACK, query)
        assert answer.status_code == 200, answer.json()
        names = {str(one.pk): 1, str(two.pk): 2, str(three.pk): 3}
        return [names[row["id"]] for row in answer.json()["results"]]

    assert found() == [3, 2, 1]
    assert found(task_run=one.task_run_id) == found(user=owner.user.pk) == [1]
    assert found(message=message.pk) == found(thumbs_up="false") == [2]
    assert found(rating_min=2) == found(execution=three.execution_id) == [3]
    assert found(rating_min=1, rating_max=1) == found(category="style") == [1]
    assert found(category="style,speed") == [3, 1]
    assert found(tags="b") == [2, 1]
    assert found(tags="a,b") == [1]
    assert found(ordering="rating") == [1, 3, 2]

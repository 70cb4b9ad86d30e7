"""Learning insights over HTTP: drafted, accepted, applied, retired."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from agents.models import LearningInsight
from agents.services import insights
from core.models import AuditEvent, Organization
from tests.factories.agents.evidence import FeedbackFactory, LearningInsightFactory, insight_in
from tests.factories.agents.roster import SquadFactory
from tests.factories.agents.work import AgentMessageFactory, TaskFactory, TaskRunFactory
from tests.kit.cast import Actor
from tests.kit.races import Meeting, race, values

pytestmark = pytest.mark.django_db

INSIGHTS = "/api/v1/learning-insights/"


def address(insight: LearningInsight, action: str = "") -> str:
    return f"{INSIGHTS}{insight.pk}/{action}"


# --- Drafts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["task_run", "message"])
def test_an_insight_is_drafted_from_feedback(target: str, teammate: Actor) -> None:
    organization = teammate.organization
    squad = SquadFactory(organization=organization)
    run = TaskRunFactory(organization=organization, task=TaskFactory(organization=organization, squad=squad))
    about: dict[str, Any] = {"task_run": run}
    if target == "message":
        about = {"task_run": None, "message": AgentMessageFactory(organization=organization, task_run=run)}
    feedback = FeedbackFactory(
        organization=organization, **about, rating=2, comment="Ask first.", category="manners", tags=["a"]
    )
    answer = teammate.by_key.post(f"/api/v1/feedback/{feedback.pk}/draft-insight/", {"confidence": "0.8"})
    assert answer.status_code == 201, answer.json()
    drafted = answer.json()
    assert (
        drafted.items()
        >= {
            "squad": str(squad.pk),
            "source_feedback": str(feedback.pk),
            "source_run": str(run.pk),
            "category": "manners",
            "insight": "Ask first.",
            "confidence": "0.800",
            "status": "draft",
            "times_applied": 0,
        }.items()
    )
    assert drafted["evidence"] == {"feedback": {"rating": 2, "thumbs_up": None, "comment": "Ask first.", "tags": ["a"]}}
    assert teammate.by_key.get(answer["Location"]).json() == drafted


def test_what_is_said_comes_before_what_the_feedback_says(teammate: Actor) -> None:
    feedback = FeedbackFactory(organization=teammate.organization, category="manners")
    said = {"insight": "Ask.", "category": "style", "squad": None, "evidence": {"n": 3}, "confidence": "1.000"}
    drafted = teammate.by_key.post(f"/api/v1/feedback/{feedback.pk}/draft-insight/", said).json()
    assert drafted.items() >= said.items()


def test_a_silent_feedback_needs_words(teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    feedback = FeedbackFactory(organization=teammate.organization, comment=" ")
    with writes_nothing():
        answer = teammate.by_key.post(f"/api/v1/feedback/{feedback.pk}/draft-insight/", {})
    assert answer.status_code == 409


def test_an_insight_is_made_without_feedback(teammate: Actor) -> None:
    answer = teammate.by_key.post(INSIGHTS, {"insight": "Read the docs.", "confidence": "0.25"})
    assert answer.status_code == 201
    assert answer.json()["status"] == "draft"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"insight": ""}, "insight"),
        ({"confidence": "1.1"}, "confidence"),
        ({"confidence": "-0.1"}, "confidence"),
        ({"confidence": "NaN"}, "confidence"),
        ({"evidence": []}, "evidence"),
        ({"squad": "00000000-0000-7000-8000-000000000000"}, "squad"),
    ],
)
def test_an_insight_is_refused(
    wrong: dict[str, Any], field: str, teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    with writes_nothing():
        answer = teammate.by_key.post(INSIGHTS, {"insight": "x"} | wrong)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


# --- Moves -------------------------------------------------------------------------------------------


def test_an_insight_is_accepted_applied_and_retired(teammate: Actor) -> None:
    insight = LearningInsightFactory(organization=teammate.organization)
    assert teammate.by_key.post(address(insight, "accept/")).json()["status"] == "accepted"
    assert teammate.by_key.post(address(insight, "apply/")).json()["times_applied"] == 1
    assert teammate.by_key.post(address(insight, "apply/")).json()["times_applied"] == 2
    assert teammate.by_key.post(address(insight, "retire/")).json()["status"] == "retired"
    events = (
        AuditEvent.objects.filter(resource_id=insight.pk).order_by("timestamp").values_list("event_type", flat=True)
    )
    assert list(events) == ["learning_insight.create", "learning_insight.accept", "learning_insight.retire"]


@pytest.mark.parametrize(
    ("status", "action"),
    [("draft", "apply"), ("retired", "apply"), ("accepted", "accept"), ("retired", "accept"), ("retired", "retire")],
)
def test_a_move_that_isnt_drawn_is_refused(
    status: str, action: str, teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    insight = insight_in(status, organization=teammate.organization)
    with writes_nothing():
        answer = teammate.by_key.post(address(insight, f"{action}/"))
    assert answer.status_code == 409
    assert f"'{status}'" in answer.json()["detail"]


def test_a_draft_is_deleted_and_what_was_accepted_stays(teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    draft = insight_in("draft", organization=teammate.organization)
    assert teammate.by_key.delete(address(draft)).status_code == 204
    accepted = insight_in("accepted", organization=teammate.organization)
    with writes_nothing():
        assert teammate.by_key.delete(address(accepted)).status_code == 409
        assert teammate.by_key.patch(address(accepted), {"insight": "Other."}).status_code == 400
    assert teammate.by_key.patch(address(accepted), {"confidence": "0.9"}).json()["confidence"] == "0.900"


def test_viewers_and_strangers_move_nothing(viewer: Actor, stranger: Actor, writes_nothing: Callable[[], Any]) -> None:
    insight = insight_in("accepted", organization=viewer.organization)
    with writes_nothing():
        for actor, status in ((viewer, 403), (stranger, 404)):
            for action in ("accept/", "apply/", "retire/"):
                assert actor.by_key.post(address(insight, action)).status_code == status
            assert actor.by_key.delete(address(insight)).status_code == status


@pytest.mark.django_db(transaction=True)
def test_applications_at_once_are_all_counted() -> None:
    insight = insight_in("accepted")

    def guarded() -> None:
        insights.apply_insight(insight=LearningInsight.objects.get(pk=insight.pk))

    assert len(values(race(*[guarded] * 10))) == 10
    insight.refresh_from_db()
    assert insight.times_applied == 10


@pytest.mark.django_db(transaction=True)
def test_the_control_reading_before_writing_loses_applications() -> None:
    insight = insight_in("accepted")
    meeting = Meeting(4)

    def unguarded() -> None:
        with transaction.atomic():
            meeting.announce()
            read = LearningInsight.objects.get(pk=insight.pk)
            meeting.attend()
            LearningInsight.objects.filter(pk=insight.pk).update(times_applied=read.times_applied + 1)

    race(*[unguarded] * 4)
    insight.refresh_from_db()
    assert insight.times_applied == 1


# --- Lists -------------------------------------------------------------------------------------------


def test_a_list_is_filtered(viewer: Actor, organization: Organization) -> None:
    squad = SquadFactory(organization=organization)
    feedback = FeedbackFactory(organization=organization)
    one = insight_in("accepted", organization=organization, squad=squad, confidence="0.9")
    two = LearningInsightFactory(organization=organization, category="style", source_feedback=feedback)
    three = LearningInsightFactory(organization=organization, source_run=feedback.task_run, confidence="0.1")

    def found(**query: Any) -> list[Any]:
        answer = viewer.by_key.get(INSIGHTS, query)
        assert answer.status_code == 200, answer.json()
        names = {str(one.pk): 1, str(two.pk): 2, str(three.pk): 3}
        return [names[row["id"]] for row in answer.json()["results"]]

    assert found() == [3, 2, 1]
    assert found(squad=squad.pk) == found(status="accepted") == found(confidence_min="0.8") == [1]
    assert found(status="draft,accepted") == [3, 2, 1]
    assert found(category="style") == found(source_feedback=feedback.pk) == [2]
    assert found(source_run=feedback.task_run_id) == found(confidence_max="0.2") == [3]
    assert found(ordering="-confidence") == [1, 2, 3]

"""The rules that the database keeps about evidence, each attacked with raw SQL (REQUIREMENTS.md, section 3)."""

from typing import Any

import pytest
from django.db import connection

from agents.models import Artifact, InsightStatus, MetricSnapshot
from core.ids import uuid7
from core.models import Organization
from tests.factories.agents.evidence import (
    ArtifactFactory,
    FeedbackFactory,
    LearningInsightFactory,
    MetricSnapshotFactory,
    StoredContentFactory,
    digest,
    insight_in,
)
from tests.factories.agents.executions import AgentExecutionFactory
from tests.factories.agents.round_tables import RoundTableEntryFactory
from tests.factories.agents.work import AgentMessageFactory, TaskFactory, TaskRunFactory
from tests.kit.sql import ignore_all_triggers, refused, run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


def insert(table: str, **values: Any) -> str:
    """Insert a row, and return the rule that refuses it."""
    columns = ", ".join(values)
    return refused(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(values))})", *values.values())


# --- Runs and tasks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", [MetricSnapshotFactory, ArtifactFactory])
def test_evidence_of_a_run_belongs_to_the_runs_task(factory: Any, organization: Organization) -> None:
    task_run = TaskRunFactory(organization=organization)
    row = factory(organization=organization, task_run=task_run)
    row.refresh_from_db()
    assert row.task_id == task_run.task_id


@pytest.mark.parametrize("factory", [MetricSnapshotFactory, ArtifactFactory])
def test_evidence_cannot_name_a_run_of_another_task(factory: Any, organization: Organization) -> None:
    row = factory(organization=organization, task=TaskFactory(organization=organization))
    table = row._meta.db_table
    for _ in range(2):
        if factory is ArtifactFactory:
            rule = refused(f"UPDATE {table} SET task_run_id = %s", TaskRunFactory(organization=organization).pk)
            assert rule == f"{table}_run_of_task"
        else:
            rule = insert(
                table,
                organization_id=organization.pk,
                name="x",
                metric_type="gauge",
                value=1,
                unit="",
                labels="{}",
                task_id=row.task_id,
                task_run_id=TaskRunFactory(organization=organization).pk,
            )
            assert rule == f"{table}_run_of_task"
        ignore_all_triggers()


@pytest.mark.parametrize("factory", [MetricSnapshotFactory, ArtifactFactory])
@pytest.mark.parametrize("column", ["task_id", "task_run_id"])
def test_evidence_refers_only_to_its_own_organization(
    factory: Any, column: str, organization: Organization, other_organization: Organization
) -> None:
    make = TaskFactory if column == "task_id" else TaskRunFactory
    foreign = make(organization=other_organization)
    row = ArtifactFactory(organization=organization)
    table = factory._meta.model._meta.db_table
    if factory is ArtifactFactory:
        rule = refused(f"UPDATE {table} SET {column} = %s WHERE id = %s", foreign.pk, row.pk)
    else:
        values = {"organization_id": organization.pk, "name": "x", "metric_type": "gauge", "value": 1, "unit": ""}
        rule = insert(table, **values, labels="{}", **{column: foreign.pk})
    assert rule == f"{table}_{column.removesuffix('_id')}"


# --- MetricSnapshot ----------------------------------------------------------------------------------

METRIC = {"name": "latency", "metric_type": "gauge", "value": 1, "unit": "s", "labels": "{}"}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": ""}, "agents_metricsnapshot_name_given"),
        ({"metric_type": "rate"}, "agents_metricsnapshot_type"),
        ({"value": "NaN"}, "agents_metricsnapshot_finite"),
        ({"value": "Infinity"}, "agents_metricsnapshot_finite"),
        ({"value": "-Infinity"}, "agents_metricsnapshot_finite"),
        ({"labels": "[]"}, "agents_metricsnapshot_labels"),
        ({"value": None}, "value"),
    ],
)
def test_a_metric_is_refused(change: dict[str, Any], rule: str, organization: Organization) -> None:
    assert insert("agents_metricsnapshot", organization_id=organization.pk, **METRIC | change) == rule


@pytest.mark.parametrize(
    ("column", "value"), [("value", 2), ("name", "other"), ("labels", '{"a": 1}'), ("timestamp", "2001-01-01")]
)
def test_a_metric_never_changes(column: str, value: Any) -> None:
    MetricSnapshotFactory()
    for _ in range(2):
        rule = refused(f"UPDATE agents_metricsnapshot SET {column} = %s", value)
        assert rule == f"agents_metricsnapshot_{column}_immutable"
        ignore_all_triggers()


# --- StoredContent and Artifact ----------------------------------------------------------------------


def test_a_content_is_stored_once_in_an_organization(
    organization: Organization, other_organization: Organization
) -> None:
    stored = StoredContentFactory(organization=organization, content=b"same")
    StoredContentFactory(organization=other_organization, content=b"same")
    values = {"organization_id": organization.pk, "sha256": stored.sha256, "size": 4}
    assert insert("agents_storedcontent", **values, location="elsewhere") == "agents_storedcontent_once"


def test_two_contents_never_share_a_file(organization: Organization) -> None:
    stored = StoredContentFactory(organization=organization)
    values = {"organization_id": organization.pk, "sha256": digest(b"other"), "size": 5}
    assert insert("agents_storedcontent", **values, location=stored.location).startswith(
        "agents_storedcontent_location"
    )


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"sha256": "A" * 64}, "agents_storedcontent_digest_shape"),
        ({"sha256": "ab"}, "agents_storedcontent_digest_shape"),
        ({"size": -1}, "agents_storedcontent_size_check"),
        ({"location": ""}, "agents_storedcontent_location_given"),
    ],
)
def test_a_content_is_refused(change: dict[str, Any], rule: str, organization: Organization) -> None:
    values = {"sha256": digest(b""), "size": 0, "location": "somewhere"} | change
    assert insert("agents_storedcontent", organization_id=organization.pk, **values) == rule


@pytest.mark.parametrize(("column", "value"), [("sha256", "0" * 64), ("size", 99), ("location", "elsewhere")])
def test_a_content_never_changes(column: str, value: Any) -> None:
    StoredContentFactory()
    for _ in range(2):
        rule = refused(f"UPDATE agents_storedcontent SET {column} = %s", value)
        assert rule == f"agents_storedcontent_{column}_immutable"
        ignore_all_triggers()


def test_a_content_that_an_artifact_has_stays() -> None:
    stored = StoredContentFactory()
    ArtifactFactory(organization=stored.organization, text=None, stored=stored)
    assert refused("DELETE FROM agents_storedcontent") == "agents_artifact_stored"


ARTIFACT = {
    "name": "a.txt",
    "artifact_type": "log",
    "text": "x",
    "content_type": "text/plain",
    "size": 1,
    "sha256": digest(b"x"),
    "metadata": "{}",
}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": ""}, "agents_artifact_name_given"),
        ({"name": "a\nb"}, "agents_artifact_name_one_line"),
        ({"artifact_type": "poem"}, "agents_artifact_type"),
        ({"text": None}, "agents_artifact_one_content"),
        ({"size": 2}, "agents_artifact_text_size"),
        ({"sha256": "0" * 64}, "agents_artifact_text_digest"),
        ({"content_type": "text/html\r\nX-Evil: 1"}, "agents_artifact_content_type"),
        ({"content_type": "nonsense"}, "agents_artifact_content_type"),
        ({"metadata": "[]"}, "agents_artifact_metadata"),
        ({"size": None}, "size"),
    ],
)
def test_an_artifact_is_refused(change: dict[str, Any], rule: str, organization: Organization) -> None:
    assert insert("agents_artifact", organization_id=organization.pk, **ARTIFACT | change) == rule


def test_the_size_of_a_text_is_in_bytes(organization: Organization) -> None:
    text = "漢字"
    values = ARTIFACT | {"text": text, "sha256": digest(text.encode()), "size": 2}
    assert insert("agents_artifact", organization_id=organization.pk, **values) == "agents_artifact_text_size"
    assert Artifact.objects.filter(pk=ArtifactFactory(text=text).pk, size=6).exists()


def test_an_artifact_has_one_content_only(organization: Organization) -> None:
    stored = StoredContentFactory(organization=organization, content=b"x")
    values = ARTIFACT | {"stored_id": stored.pk, "sha256": stored.sha256, "size": stored.size}
    assert insert("agents_artifact", organization_id=organization.pk, **values) == "agents_artifact_one_content"


@pytest.mark.parametrize("wrong", [{"size": 7}, {"sha256": digest(b"other")}])
def test_an_artifact_has_the_size_and_digest_of_its_content(wrong: dict[str, Any], organization: Organization) -> None:
    stored = StoredContentFactory(organization=organization)
    values = ARTIFACT | {"text": None, "stored_id": stored.pk, "sha256": stored.sha256, "size": stored.size} | wrong
    assert insert("agents_artifact", organization_id=organization.pk, **values) == "agents_artifact_stored"


def test_an_artifact_never_has_another_organizations_content(
    organization: Organization, other_organization: Organization
) -> None:
    stored = StoredContentFactory(organization=other_organization)
    values = ARTIFACT | {"text": None, "stored_id": stored.pk, "sha256": stored.sha256, "size": stored.size}
    assert insert("agents_artifact", organization_id=organization.pk, **values) == "agents_artifact_stored"


def test_what_an_artifact_holds_never_changes() -> None:
    ArtifactFactory()
    for _ in range(2):
        rule = refused("UPDATE agents_artifact SET text = 'y', size = 1, sha256 = %s", digest(b"y"))
        assert rule == "agents_artifact_text_immutable"
        ignore_all_triggers()


# --- Feedback ----------------------------------------------------------------------------------------

FEEDBACK = {"rating": 3, "category": "", "comment": "", "tags": "{}"}


def test_feedback_has_exactly_one_target(organization: Organization) -> None:
    message = AgentMessageFactory(organization=organization)
    values = {"organization_id": organization.pk, **FEEDBACK}
    assert insert("agents_feedback", **values) == "agents_feedback_one_target"
    targets = {
        "message_id": message.pk,
        "task_run_id": message.task_run_id,
        "execution_id": AgentExecutionFactory(organization=organization).pk,
        "round_table_entry_id": RoundTableEntryFactory(organization=organization).pk,
    }
    for left_out in (*targets, None):
        several = {name: pk for name, pk in targets.items() if name != left_out}
        assert insert("agents_feedback", **values, **several) == "agents_feedback_one_target"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"rating": 0}, "agents_feedback_rating"),
        ({"rating": 6}, "agents_feedback_rating"),
        ({"rating": None}, "agents_feedback_says_something"),
    ],
)
def test_feedback_is_refused(change: dict[str, Any], rule: str, organization: Organization) -> None:
    target = TaskRunFactory(organization=organization)
    values = {"organization_id": organization.pk, "task_run_id": target.pk, **FEEDBACK | change}
    assert insert("agents_feedback", **values) == rule


@pytest.mark.parametrize("column", ["task_run_id", "message_id", "execution_id", "round_table_entry_id"])
def test_feedback_is_about_its_own_organizations_work(
    column: str, organization: Organization, other_organization: Organization
) -> None:
    factories = {
        "task_run_id": TaskRunFactory,
        "message_id": AgentMessageFactory,
        "execution_id": AgentExecutionFactory,
        "round_table_entry_id": RoundTableEntryFactory,
    }
    factory: Any = factories[column]
    values = {"organization_id": organization.pk, column: factory(organization=other_organization).pk, **FEEDBACK}
    assert (
        insert("agents_feedback", **values)
        == f"agents_feedback_{column.removesuffix('_id').removeprefix('round_table_')}"
    )


def test_feedback_stays_with_its_target() -> None:
    feedback = FeedbackFactory()
    other = TaskRunFactory(organization=feedback.organization)
    for _ in range(2):
        rule = refused("UPDATE agents_feedback SET task_run_id = %s", other.pk)
        assert rule == "agents_feedback_task_run_id_immutable"
        ignore_all_triggers()


# --- LearningInsight ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("insight = ''", "agents_learninginsight_given"),
        ("confidence = 1.001", "agents_learninginsight_confidence"),
        ("confidence = -0.1", "agents_learninginsight_confidence"),
        ("evidence = '[]'", "agents_learninginsight_evidence"),
        ("status = 'believed'", "agents_learninginsight_status_transitions"),
        ("times_applied = 1", "agents_learninginsight_applications"),
    ],
)
def test_an_insight_is_refused(change: str, rule: str) -> None:
    LearningInsightFactory()
    assert refused(f"UPDATE agents_learninginsight SET {change}") == rule


def test_a_draft_was_never_applied(organization: Organization) -> None:
    values = {"insight": "x", "category": "", "evidence": "{}", "confidence": 0.5, "status": "draft"}
    rule = insert("agents_learninginsight", organization_id=organization.pk, times_applied=1, **values)
    assert rule == "agents_learninginsight_applied"


@pytest.mark.parametrize(("start", "end"), [("accepted", "draft"), ("retired", "accepted"), ("retired", "draft")])
def test_an_insight_moves_only_as_drawn(start: str, end: str) -> None:
    insight_in(start)
    for _ in range(2):
        rule = refused("UPDATE agents_learninginsight SET status = %s", end)
        assert rule == "agents_learninginsight_status_transitions"
        ignore_all_triggers()


@pytest.mark.parametrize("status", [InsightStatus.ACCEPTED, InsightStatus.RETIRED])
def test_what_was_accepted_stays_as_it_was(status: str) -> None:
    insight_in(status)
    for _ in range(2):
        assert refused("UPDATE agents_learninginsight SET insight = 'x'") == "agents_learninginsight_kept"
        ignore_all_triggers()


def test_applications_are_counted_upwards_and_of_accepted_insights_only() -> None:
    insight_in(InsightStatus.ACCEPTED)
    run("UPDATE agents_learninginsight SET times_applied = 2")
    for _ in range(2):
        rule = refused("UPDATE agents_learninginsight SET times_applied = 1")
        assert rule == "agents_learninginsight_applications"
        ignore_all_triggers()
    run("UPDATE agents_learninginsight SET status = 'retired'")
    assert refused("UPDATE agents_learninginsight SET times_applied = 3") == "agents_learninginsight_applications"


@pytest.mark.parametrize("column", ["squad_id", "source_feedback_id", "source_run_id"])
def test_an_insight_refers_to_what_exists_in_its_organization(column: str, other_organization: Organization) -> None:
    insight = LearningInsightFactory()
    foreign: Any = uuid7()
    if column == "source_run_id":
        foreign = TaskRunFactory(organization=other_organization).pk
    if column == "source_feedback_id":
        foreign = FeedbackFactory(organization=other_organization).pk
    rule = refused(f"UPDATE agents_learninginsight SET {column} = %s WHERE id = %s", foreign, insight.pk)
    assert (
        rule
        == {
            "squad_id": "agents_learninginsight_squad",
            "source_feedback_id": "agents_learninginsight_feedback",
            "source_run_id": "agents_learninginsight_run",
        }[column]
    )


# --- Deletion ----------------------------------------------------------------------------------------


def test_the_evidence_of_a_task_goes_with_it(organization: Organization) -> None:
    task_run = TaskRunFactory(organization=organization)
    MetricSnapshotFactory(organization=organization, task_run=task_run)
    kept = MetricSnapshotFactory(organization=organization)
    ArtifactFactory(organization=organization, task=task_run.task)
    FeedbackFactory(organization=organization, task_run=task_run)
    task_run.task.delete()
    assert list(MetricSnapshot.objects.all()) == [kept]
    assert not Artifact.objects.exists()
    connection.check_constraints()

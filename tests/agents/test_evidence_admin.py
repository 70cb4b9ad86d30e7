"""The admin of metrics, artifacts, feedback and insights."""

from typing import Any

import pytest
from django.urls import reverse

from agents.models import Artifact, Feedback, LearningInsight, MetricSnapshot, StoredContent
from core.models import Organization
from tests.admin.conftest import Staff, make_staff, staff  # noqa: F401 (fixtures)
from tests.admin.pages import listed, url
from tests.agents.test_artifacts import CONTENT, body, files
from tests.factories.agents import ArtifactFactory, FeedbackFactory, MetricSnapshotFactory, StoredContentFactory
from tests.factories.agents.evidence import insight_in
from tests.factories.agents.work import TaskRunFactory
from tests.kit.database import writes_nothing

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


def press(staff: Staff, record: Any, action: str, **data: Any) -> str:  # noqa: F811
    """Press a record's button, answer what it asks, and return the page that follows."""
    answer = staff.client.post(url("action", type(record), record.pk, action), {"confirmed": "1", **data}, follow=True)
    assert answer.status_code == 200
    record.refresh_from_db()
    return answer.content.decode()


def page(staff: Staff, record: Any) -> str:  # noqa: F811
    answer = staff.client.get(url("change", type(record), record.pk))
    assert answer.status_code == 200
    return answer.content.decode()


def content(staff: Staff, artifact: Artifact, **headers: str) -> Any:  # noqa: F811
    return staff.client.get(reverse("admin:agents_artifact_download", args=[artifact.pk]), headers=headers)


def test_a_content_is_downloaded_and_never_drawn(staff: Staff, organization: Organization) -> None:  # noqa: F811
    stored = StoredContentFactory(organization=organization, content=CONTENT)
    artifact = ArtifactFactory(
        organization=organization, text=None, stored=stored, name="evil.html", content_type="text/html"
    )
    assert reverse("admin:agents_artifact_download", args=[artifact.pk]) in page(staff, artifact)
    answer = content(staff, artifact)
    assert body(answer) == CONTENT
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="evil.html"'
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert body(content(staff, artifact, Range="bytes=-2")) == b"89"
    assert content(staff, artifact, Range="bytes=5000-").status_code == 404


def test_a_text_is_shown_as_text(staff: Staff, organization: Organization) -> None:  # noqa: F811
    artifact = ArtifactFactory(organization=organization, text="<script>alert(1)</script>" + "x" * 20_000)
    shown = page(staff, artifact)
    assert "<pre>&lt;script&gt;alert(1)" in shown
    assert "x…</pre>" in shown


def test_another_organizations_content_is_nowhere(
    staff: Staff,  # noqa: F811
    other_organization: Organization,
) -> None:
    assert content(staff, ArtifactFactory(organization=other_organization)).status_code == 404


def test_an_artifact_goes_with_its_content(
    staff: Staff,  # noqa: F811
    organization: Organization,
    media: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    pairs = [StoredContentFactory(organization=organization) for _ in range(2)]
    one, two = (ArtifactFactory(organization=organization, text=None, stored=stored) for stored in pairs)
    with django_capture_on_commit_callbacks(execute=True):
        staff.client.post(url("delete", Artifact, one.pk), {"post": "yes"})
    assert list(StoredContent.objects.all()) == [pairs[1]]
    assert len(files(media)) == 1
    ticked = {"action": "delete_selected", "_selected_action": [str(two.pk)], "post": "yes"}
    with django_capture_on_commit_callbacks(execute=True):
        staff.client.post(url("changelist", Artifact), ticked)
    assert not Artifact.objects.exists()
    assert files(media) == []


def test_metrics_and_contents_are_for_reading(staff: Staff, organization: Organization) -> None:  # noqa: F811
    metric = MetricSnapshotFactory(organization=organization)
    stored = StoredContentFactory(organization=organization)
    with writes_nothing():
        for record in (metric, stored):
            page(staff, record)
            assert staff.client.post(url("change", type(record), record.pk), {"name": "x"}).status_code == 403
            assert staff.client.get(url("add", type(record))).status_code == 403
    html = staff.client.get(url("changelist", MetricSnapshot), {"name__exact": "latency"}).content.decode()
    assert listed(html) == [str(metric.pk)]


def test_feedback_is_given_in_ones_own_name(staff: Staff, organization: Organization) -> None:  # noqa: F811
    run = TaskRunFactory(organization=organization)
    data = {"task_run": str(run.pk), "rating": "4", "thumbs_up": "unknown", "tags": "a, b"}
    answer = staff.client.post(url("add", Feedback), data | {"organization": str(organization.pk)})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    given = Feedback.objects.get()
    assert (given.user_id, given.rating, given.tags) == (staff.user.pk, 4, ["a", "b"])
    other = TaskRunFactory(organization=organization)
    staff.client.post(url("change", Feedback, given.pk), data | {"task_run": str(other.pk), "rating": "1"})
    given.refresh_from_db()
    assert (given.task_run_id, given.rating) == (run.pk, 1)


def test_an_insight_goes_its_way_by_buttons(staff: Staff, organization: Organization) -> None:  # noqa: F811
    feedback = FeedbackFactory(organization=organization, comment="Ask first.")
    press(staff, feedback, "draft_insight", insight="")
    insight = LearningInsight.objects.get()
    assert (insight.insight, insight.status, insight.source_feedback_id) == ("Ask first.", "draft", feedback.pk)
    press(staff, insight, "accept")
    press(staff, insight, "apply")
    press(staff, insight, "apply")
    press(staff, insight, "retire", reason="Outdated.")
    assert (insight.status, insight.times_applied) == ("retired", 2)


def test_what_was_accepted_is_not_deleted(staff: Staff, organization: Organization) -> None:  # noqa: F811
    draft, accepted = (insight_in(status, organization=organization) for status in ("draft", "accepted"))
    assert staff.client.post(url("delete", LearningInsight, accepted.pk), {"post": "yes"}).status_code == 403
    ticked = {"action": "delete_selected", "_selected_action": [str(accepted.pk)], "post": "yes"}
    staff.client.post(url("changelist", LearningInsight), ticked)
    staff.client.post(url("delete", LearningInsight, draft.pk), {"post": "yes"})
    assert list(LearningInsight.objects.all()) == [accepted]
    assert 'name="insight"' not in page(staff, accepted)

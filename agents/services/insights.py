"""Learning insights: drafted from feedback, accepted, applied, retired."""

from typing import Any

from django.db import transaction
from django.db.models import F

from agents.models import Feedback, InsightStatus, LearningInsight
from core.errors import ConflictError


@transaction.atomic
def draft_from_feedback(*, feedback: Feedback, **fields: Any) -> LearningInsight:
    """Draft an insight from feedback. The fields are LearningInsight's, and come before what the feedback says.

    The draft says what the comment says, in the feedback's category, to the squad that did the work; the feedback
    itself is its evidence. Raises ConflictError when there is neither a text nor a comment to take it from.
    """
    insight = fields.pop("insight", "") or feedback.comment
    if not insight.strip():
        raise ConflictError("The feedback has no comment: say what is to be learned.", field="insight")
    target = feedback.message or feedback.execution  # a round table's entry is no part of a run
    run = target.task_run if target else feedback.task_run
    squad = feedback.execution.squad if feedback.execution else None
    if squad is None and run is not None:
        squad = run.task.squad
    said = {"rating": feedback.rating, "thumbs_up": feedback.thumbs_up, "comment": feedback.comment}
    defaults = {
        "squad": squad,
        "category": feedback.category,
        "evidence": {"feedback": said | {"tags": feedback.tags}},
    }
    return LearningInsight.objects.create(
        organization_id=feedback.organization_id,
        source_feedback=feedback,
        source_run=run,
        insight=insight,
        **defaults | fields,
    )


def apply_insight(*, insight: LearningInsight) -> LearningInsight:
    """Count one more application. Only accepted insights are applied: else ConflictError."""
    accepted = LearningInsight.objects.filter(pk=insight.pk, status=InsightStatus.ACCEPTED)
    if not accepted.update(times_applied=F("times_applied") + 1):
        insight.refresh_from_db()
        raise ConflictError(f"Only an accepted insight is applied; this one is '{insight.status}'.", field="status")
    insight.refresh_from_db()
    return insight


def delete_draft(*, insight: LearningInsight) -> None:
    """Delete an insight that is still a draft; what was accepted is retired instead: ConflictError."""
    deleted, _ = LearningInsight.objects.filter(pk=insight.pk, status=InsightStatus.DRAFT).delete()
    if not deleted:
        raise ConflictError("Only a draft is deleted; retire this insight instead.", field="status")

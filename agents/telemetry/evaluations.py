"""Evaluations that spans carry (``gen_ai.evaluation.result`` events), as feedback on the executions they are of.

A model call's or a tool's is feedback on the execution around it. The span's attributes keep them too, since one may
be of a call that is in no execution.
"""

from collections.abc import Iterable
from dataclasses import asdict
from uuid import UUID

import orjson

from agents.models import Feedback
from agents.telemetry.spans import Evaluation, Span

TAG = "evaluation"
CATEGORY_LENGTH = 100


def write(organization_id: UUID, evaluated: Iterable[tuple[UUID, Evaluation]]) -> None:
    """Write feedback for each execution and evaluation given."""
    Feedback.objects.bulk_create(
        Feedback(
            organization_id=organization_id,
            execution_id=execution,
            category=evaluation.name[:CATEGORY_LENGTH],
            comment=comment_on(evaluation),
            tags=[TAG],
        )
        for execution, evaluation in evaluated
    )


def comment_on(evaluation: Evaluation) -> str:
    """Return an evaluation in words: its label and score, then why."""
    verdict = evaluation.label or "no label"
    if evaluation.score is not None:
        verdict += f" ({evaluation.score:g})"
    return f"{verdict}: {evaluation.explanation}" if evaluation.explanation else verdict


def attributes_of(span: Span) -> bytes:
    """Return the span's attributes with its evaluations among them."""
    if not span.evaluations:
        return span.attributes
    return orjson.dumps(orjson.loads(span.attributes) | {"evaluations": [asdict(each) for each in span.evaluations]})

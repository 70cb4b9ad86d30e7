"""Evaluations that spans carry (``gen_ai.evaluation.result`` events), as feedback on the executions they are of.

A model call's or a tool's is feedback on the execution around it, from when that has come. The span's attributes keep
them too: for then, and since one may be of a call that is in no execution.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

import orjson

from agents.models import Feedback, ModelCall, ToolExecution
from agents.telemetry.spans import Evaluation, Span

TAG = "evaluation"
CATEGORY_LENGTH = 100
KEPT_AS = "evaluations"  # among a span's attributes; agents.sql.counting looks for it
_FORM: dict[str, Any] = {"name": str, "score": float | int | None, "label": str, "explanation": str}


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


def take_up(organization_id: UUID, waiting: Sequence[UUID]) -> None:
    """Write the feedback of those of these model calls and tool executions that waited for an execution that has come.

    Spans come in any order, most often the inner before the outer. Each is in an execution from one transaction on,
    which calls this if it reports spans. Executions that clients write otherwise take no evaluations up.
    """
    for model in (ModelCall, ToolExecution):
        come = model.objects.filter(pk__in=waiting, execution__isnull=False)
        told = come.order_by("pk").values_list("execution_id", "attributes")
        write(organization_id, [(execution, each) for execution, among in told for each in _kept(among)])


def _kept(attributes: dict[str, Any]) -> Iterator[Evaluation]:
    """Yield the evaluations that ``attributes_of`` put there; what else has the name isn't ours."""
    kept = attributes.get(KEPT_AS)
    for each in kept if isinstance(kept, list) else ():
        if (
            isinstance(each, dict)
            and each.keys() == _FORM.keys()
            and all(isinstance(each[name], form) for name, form in _FORM.items())
        ):
            yield Evaluation(**each)


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
    return orjson.dumps(orjson.loads(span.attributes) | {KEPT_AS: [asdict(each) for each in span.evaluations]})

"""How well search finds what people say is relevant: the usual measures, side by side for each mode.

Relevance is told by document. A document that has several chunks stands where its best one does.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.db import transaction

from knowledge.embedders import Vectors
from knowledge.models import Collection, Document
from knowledge.services.search import CANDIDATES, Hit, Mode, Question, search, vectors_of

STEPS = [step / 20 for step in range(21)]  # the weights that are tried: 0, 0.05, …, 1


@dataclass(frozen=True)
class Judged:
    """A question, and what each relevant document is worth as an answer, by its ``document_id``."""

    text: str
    relevant: Mapping[str, float]


@dataclass(frozen=True)
class Quality:
    """Means over all questions, each from 0 to 1.

    ``ndcg_10``: how much of the worth that could stand among the first ten does, the more the higher up it stands
    (Järvelin and Kekäläinen 2002, with gains as they are given). ``recall_5`` and ``recall_10``: what share of the
    relevant documents is among the first. ``mrr_10``: one divided by the place of the first relevant one.
    """

    ndcg_10: float
    recall_5: float
    recall_10: float
    mrr_10: float


class QuestionsError(ValueError):
    """A file of questions can't be read as such. The message says which line, and why."""


def read_questions(path: Path) -> list[Judged]:
    """Read questions from a file with a JSON object a line: ``{"text": …, "relevant": {document_id: worth}}``.

    ``relevant`` may be a list of ids, each worth 1. A ``type`` other than “question” makes a line one of something
    else, which is passed over.

    Raises:
        QuestionsError: a line is no such object, or there is no question.
    """
    with path.open(encoding="utf-8") as file:
        questions = list(_parse(file))
    if not questions:
        raise QuestionsError("There is no question in the file.")
    return questions


def _parse(lines: Iterable[str]) -> Iterator[Judged]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if row.get("type", "question") != "question":
                continue
            given = row["relevant"]
            worth = {str(key): float(given[key]) if isinstance(given, dict) else 1.0 for key in given}
            text = row["text"].strip()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise QuestionsError(
                f'Line {number} isn\'t like {{"text": "…", "relevant": {{"a document_id": 1}}}}.'
            ) from error
        worth = {key: value for key, value in worth.items() if value > 0}
        if text and worth:
            yield Judged(text, worth)


def evaluate(
    *, collection: Collection, questions: Sequence[Judged], asked: Callable[[], object] = lambda: None
) -> tuple[dict[Mode, Quality], dict[float, Quality]]:
    """Ask each question in each mode.

    Args:
        collection: where to search.
        questions: with what is relevant to each.
        asked: called after each question, to show progress.

    Returns:
        The quality of each mode, and that of hybrid search by each weight of the vectors.
    """
    found: dict[Mode, list[list[str]]] = {mode: [] for mode in (Mode.TEXT, Mode.VECTOR, Mode.HYBRID)}
    by_weight: dict[float, list[list[str]]] = {weight: [] for weight in STEPS}
    for question in questions:
        vectors = vectors_of(question.text, {collection.search_model})
        for mode, rankings in found.items():
            hits = _ask(collection, question.text, mode, vectors)
            rankings.append(_documents(hits))
        for weight, rankings in by_weight.items():
            rankings.append(_documents(_reordered(hits, weight)))
        asked()
    relevant = [question.relevant for question in questions]
    return (
        {mode: quality(rankings, relevant) for mode, rankings in found.items()},
        {weight: quality(rankings, relevant) for weight, rankings in by_weight.items()},
    )


def missing(collection: Collection, questions: Iterable[Judged]) -> list[str]:
    """Return the relevant documents that the collection doesn't have, by id: nothing could find these.

    Raises:
        QuestionsError: it has none of them, so that there is nothing to measure.
    """
    relevant = {key for question in questions for key in question.relevant}
    found = Document.objects.filter(collection=collection, document_id__in=relevant, deleted_at=None)
    lost = relevant.difference(found.values_list("document_id", flat=True))
    if lost == relevant:
        raise QuestionsError(f"{collection.name} has none of the documents that are said to be relevant.")
    return sorted(lost)


def best_weight(by_weight: Mapping[float, Quality]) -> float:
    """Return the weight of the best nDCG@10; of equals the one nearest to the middle."""
    return max(by_weight, key=lambda weight: (round(by_weight[weight].ndcg_10, 4), -abs(weight - 0.5)))


@transaction.atomic
def set_weight(*, collection_id: UUID, weight: float) -> None:
    """Let vectors count for ``weight`` in the collection's hybrid search."""
    collection = Collection.objects.select_for_update(no_key=True).get(pk=collection_id)
    collection.hybrid_weight = weight
    collection.save(update_fields=["hybrid_weight"])


def quality(rankings: Sequence[Sequence[str]], relevant: Sequence[Mapping[str, float]]) -> Quality:
    """Return the measures of rankings, each of distinct documents, against what is relevant."""
    pairs = list(zip(rankings, relevant, strict=True))

    def mean(measure: Callable[[Sequence[str], Mapping[str, float]], float]) -> float:
        return sum(measure(ranking, worth) for ranking, worth in pairs) / len(pairs)

    return Quality(
        mean(lambda ranking, worth: _ndcg(ranking[:10], worth)),
        mean(lambda ranking, worth: len(worth.keys() & set(ranking[:5])) / len(worth)),
        mean(lambda ranking, worth: len(worth.keys() & set(ranking[:10])) / len(worth)),
        mean(
            lambda ranking, worth: next((1 / place for place, key in enumerate(ranking[:10], 1) if key in worth), 0.0)
        ),
    )


def _ndcg(ranking: Sequence[str], worth: Mapping[str, float]) -> float:
    def gain(worths: Iterable[float]) -> float:
        return sum(each / math.log2(place + 1) for place, each in enumerate(worths, 1))

    return gain(worth.get(key, 0) for key in ranking) / gain(sorted(worth.values(), reverse=True)[:10])


def _ask(collection: Collection, text: str, mode: Mode, vectors: Mapping[str, Vectors]) -> list[Hit]:
    asked = Question(text, collections=[collection.pk], mode=mode, limit=2 * CANDIDATES)
    return search(organization_id=collection.organization_id, question=asked, vectors=vectors)


def _reordered(hits: Iterable[Hit], weight: float) -> list[Hit]:
    """Return the hits of a hybrid search as another weight would order them."""
    return sorted(hits, key=lambda hit: (-(weight * hit.vector_part + (1 - weight) * hit.text_part), hit.chunk))


def _documents(hits: Iterable[Hit]) -> list[str]:
    return list(dict.fromkeys(hit.document_id for hit in hits))

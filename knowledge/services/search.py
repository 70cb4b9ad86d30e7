"""Search: a question in, the passages that answer it out.

Two sides look for candidates: vectors by what the question means, BM25 by its words. The best of both are scored
exactly by both; each score is scaled over the candidates to 0 to 1, and the two are added by the weight of the hit's
collection. (Adding reciprocal ranks instead makes the worse side count as much as the better one.)
"""

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models, transaction
from psycopg.types.json import Jsonb

from core.connections import lend_back, prepared_cursor
from knowledge.embedders import Vectors, embedder
from knowledge.models.chunks import HEADINGS_JOIN
from knowledge.services.indexing import as_text
from knowledge.sql import search as sql

CANDIDATES = 50  # of each side
MOST_HITS = 100
MOST_NEIGHBOURS = 5
MOST_CHARACTERS = 2000  # of a question
# Up to so many chunks, reading all vectors is quicker than the index. Above, the index must find 50 of them by looking
# at 50 out of each share that they are of the table, some ten times as dear as reading one in passing.
EXACT_CHUNKS = 20_000
INDEX_COST = 10 * CANDIDATES
# Characters that no language has (Unicode's private use area) surround matched words until all else is escaped.
START, STOP = "\ue000", "\ue001"
MARKS = re.compile(f"[{START}{STOP}]")


class Mode(models.TextChoices):
    """By what to search."""

    HYBRID = "hybrid", "Meaning and words"
    VECTOR = "vector", "Meaning"
    TEXT = "text", "Words"


# How many chunks the words may bring as candidates. Commoner words are weighed, but bring none of their own. Beside
# vectors, which bring theirs, fewer do: answers were no worse when words brought a twentieth of the chunks.
WORD_BUDGET = {Mode.TEXT: 3000, Mode.HYBRID: 1500, Mode.VECTOR: 0}


@dataclass(frozen=True)
class Question:
    """What is searched for, and where.

    Args:
        text: the question, or some words.
        collections: where to search; none: in all of the organization.
        metadata: what a document's metadata must contain, as jsonb's ``@>`` has it.
        created_after: the earliest time at which a document was made, itself included.
        created_before: the time before which it was made.
        mode: by what to search.
        limit: how many hits, at most `MOST_HITS`.
        neighbours: how many chunks before and after each hit to show with it.
    """

    text: str
    collections: Sequence[UUID] = ()
    metadata: Mapping[str, Any] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    mode: Mode = Mode.HYBRID
    limit: int = 10
    neighbours: int = 0

    def filters(self) -> dict[str, Any]:
        """Return the filters of documents that are asked for, by name."""
        asked = {
            "metadata": dict(self.metadata) if self.metadata else None,
            "created_after": self.created_after,
            "created_before": self.created_before,
        }
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class Neighbour:
    """A chunk beside a hit."""

    id: UUID
    position: int
    text: str


@dataclass(frozen=True)
class Hit:
    """A chunk that was found.

    ``score`` orders the hits: from 0 to 1 by both sides, else the cosine or the BM25 score itself. ``vector_score`` is
    the cosine, ``text_score`` BM25's; ranks are among the candidates, from 1, and missing where a side didn't find it;
    parts are the scores scaled over the candidates.
    ``marked`` is the text as HTML, escaped, with matched words in ``<mark>``.
    """

    score: float
    text_score: float
    text_rank: int | None
    text_part: float
    vector_score: float | None
    vector_rank: int | None
    vector_part: float
    chunk: UUID
    position: int
    heading_path: list[str]
    char_start: int
    char_end: int
    text: str
    marked: str
    collection: UUID
    document: UUID
    document_id: str
    title: str
    source_uri: str
    version: int
    metadata: dict[str, Any]
    created_at: datetime
    neighbours: list[Neighbour]

    @property
    def citation(self) -> str:
        """Return where the passage stands, for people: title, headings, number, source."""
        path = self.heading_path if self.heading_path[:1] == [self.title] else [self.title, *self.heading_path]
        source = f" ({self.source_uri})" if self.source_uri else ""
        return f"{HEADINGS_JOIN.join(path)}, passage {self.position + 1}{source}"


@dataclass(frozen=True)
class Source:
    """A collection that is searched."""

    id: UUID
    model: str
    weight: float


@dataclass(frozen=True)
class Extent:
    """How many chunks the organization has, how many vectors all have together, and how many chunks are searched."""

    everything: float
    vectors: float
    chunks: float

    @property
    def share(self) -> float:
        """Return what share of the organization's chunks is searched."""
        return self.chunks / (self.everything or 1)

    @property
    def wants_index(self) -> bool:
        """Return whether the vectors are found by an index."""
        return self.chunks > EXACT_CHUNKS and self.chunks**2 > INDEX_COST * self.vectors


def search(*, organization_id: UUID, question: Question, vectors: Mapping[str, Vectors] | None = None) -> list[Hit]:
    """Return the chunks of an organization that answer a question, the best first.

    Args:
        organization_id: whose documents are searched.
        question: what for, and where.
        vectors: the question's vector by each model, where that is known already.

    Raises:
        EmbeddingError: the question has no vector, or a collection's model is unknown here.
        EmbedderUnavailable: an embedder can't be reached; a search by text needs none.
    """
    sources, extent = _sources(organization_id, question)
    if not sources:
        return []
    if question.mode == Mode.TEXT:
        vectors = {}
    elif vectors is None:
        vectors = vectors_of(question.text, {source.model for source in sources})
    filters = question.filters()
    given = {
        "organization": organization_id,
        "query": question.text,
        "sources": [source.id for source in sources],
        "weights": [source.weight for source in sources],
        "models": [source.model for source in sources],
        "models_once": list(vectors),
        "vectors": list(map(as_text, vectors.values())),
        "side": CANDIDATES if question.mode == Mode.HYBRID else max(CANDIDATES, question.limit),
        "limit": question.limit,
        "neighbours": question.neighbours,
        "budget": WORD_BUDGET[question.mode],
        "start": START,
        "stop": STOP,
        **_filter_values(filters),
    }
    given |= {f"model_{number}": model for number, model in enumerate(vectors)}
    if filters or question.collections:
        extent = replace(extent, chunks=_chunks_among(given, filters))
    statement = sql.statement(
        mode=question.mode.value,
        scope=sql.scope(
            all_collections=not question.collections and len({source.model for source in sources}) == 1,
            filters=filters,
        ),
        dimensions=[len(vector) for vector in vectors.values()],
        by_index=extent.wants_index,
    )
    with _iterating() if extent.wants_index else nullcontext(), prepared_cursor() as cursor:
        cursor.execute(statement, given | {"share": extent.share})
        return [_hit(row) for row in cursor.fetchall()]


def _sources(organization_id: UUID, question: Question) -> tuple[list[Source], Extent]:
    """Return the collections to search, and how much there is, of all collections as yet."""
    with prepared_cursor() as cursor:
        cursor.execute(sql.SOURCES, {"organization": organization_id})
        found = cursor.fetchall()
    sources = [Source(*row[:3]) for row in found]
    everything, rows = found[0][3:] if found else (0, 0)
    extent = Extent(everything, rows, chunks=everything)
    if not question.collections:
        return sources, extent
    asked = set(question.collections)
    return [source for source in sources if source.id in asked], extent


def vectors_of(text: str, models: set[str]) -> dict[str, Vectors]:
    """Return the question's vector by each model."""
    if any(model.startswith("openai:") for model in models):
        lend_back()
    return {model: embedder(model).embed_query(text) for model in sorted(models)}


def _filter_values(filters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: Jsonb(value) if name == "metadata" else value for name, value in filters.items()}


def _chunks_among(given: Mapping[str, Any], filters: Mapping[str, Any]) -> float:
    """Return how many chunks the collections and the filters leave to search."""
    with prepared_cursor() as cursor:
        cursor.execute(sql.extent(filters), given)
        [chunks] = cursor.fetchone()
    return float(chunks)


@contextmanager
def _iterating() -> Iterator[None]:
    """Let the index of vectors go on until it has found enough, for a transaction."""
    with transaction.atomic():
        with prepared_cursor() as cursor:
            cursor.execute(sql.BY_INDEX)
        yield


def _marked(text: str, words: str) -> str:
    """Return the text as HTML with the marks of its words, which are as long as it is but for these."""
    text = MARKS.sub("\ufffd", text)
    parts, place = [], 0
    for number, part in enumerate(MARKS.split(words)):
        parts += [text[place : place + len(part)], STOP if number % 2 else START]
        place += len(part)
    marked = "".join([*parts[:-1], text[place:]])
    return html.escape(marked).replace(START, "<mark>").replace(STOP, "</mark>")


def _hit(row: Sequence[Any]) -> Hit:
    values = dict(zip(sql.COLUMNS, row, strict=True))
    marked = _marked(values["text"], values["marked"])
    beside = json.loads(values["neighbours"])  # Django leaves parsing to its fields
    neighbours = [Neighbour(UUID(each["id"]), each["position"], each["text"]) for each in beside]
    metadata = json.loads(values["metadata"])
    return Hit(**values | {"marked": marked, "neighbours": neighbours, "metadata": metadata})

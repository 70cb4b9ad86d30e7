"""Search in 100,000 chunks of 20 organizations, the question's embedding apart.

    uv run python -m tests.benchmarks.search [--questions 200]

Texts are 160 words drawn by Zipf's law, vectors lie in clusters, and documents of all organizations came in turns, so
that no organization's rows lie together. It prints p50 and p95 of each mode, and what share of the ten nearest chunks
a search by vectors finds. The first run fills the database under ``.data/benchmarks``, which takes some minutes.
"""

import argparse
import os
import time
from statistics import quantiles
from typing import Any
from uuid import UUID

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"

import django

django.setup()

import numpy as np
from django.core.management import call_command
from django.db import connection, transaction

from core.ids import uuid7
from core.models import Organization
from knowledge.models import Collection, Embedding
from knowledge.services.search import Mode, Question, search
from tests.benchmarks.database import unlimited_cursor

SMALL = [500, 500, 1000, 1000, 1500, 1500, 2000, 2000, 2500, 2500, 3000, 3000, 3500, 3500, 4000, 5000, 6000, 7000]
SIZES = [40_000, 10_000, *SMALL]
CHUNKS_A_DOCUMENT, WORDS, VOCABULARY, TOPICS, DIMENSIONS = 10, 160, 50_000, 400, 384
MODEL = "all-MiniLM-L6-v2"
SEED = 20_26
QUESTION_WORDS = 9

# language, version, indexed version, status, error, chunks, model, attempts, metadata
DEFAULTS = ("en", 1, 0, "pending", "", 0, MODEL, 0, "{}")
HNSW = "knowledge_embedding_hnsw"


def slug(number: int) -> str:
    """Return the name of an organization."""
    return f"search-{number}"


def words(random: Any, count: int) -> list[str]:
    """Return words that are as unevenly frequent as those of a language."""
    return [f"w{rank}" for rank in np.minimum(random.zipf(1.15, count), VOCABULARY)]


def unit(rows: Any) -> Any:
    """Return vectors at unit length."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def vectors(random: Any, centers: Any, topics: Any) -> Any:
    """Return vectors near the centers of topics."""
    return unit(centers[topics] + 0.9 * unit(random.standard_normal((len(topics), DIMENSIONS))))


def fill(random: Any, centers: Any) -> None:
    """Make organizations, documents, chunks and vectors."""
    places: list[tuple[UUID, UUID]] = []
    for number, size in enumerate(SIZES):
        organization = Organization.objects.create(name=slug(number), slug=slug(number))
        collection = Collection.objects.create(organization=organization, name="all")
        places += [(organization.pk, collection.pk)] * (size // CHUNKS_A_DOCUMENT)
    random.shuffle(places)
    with unlimited_cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [HNSW])
        [definition] = cursor.fetchone()
        cursor.execute(f"DROP INDEX {HNSW}")
        began = time.monotonic()
        for first in range(0, len(places), 500):
            fill_some(random, centers, places[first : first + 500])
            done = (first + 500) * CHUNKS_A_DOCUMENT
            print(f"\r{min(done, sum(SIZES)):,} chunks after {time.monotonic() - began:.0f} s", end="", flush=True)
        cursor.execute("SET maintenance_work_mem = '1GB'")
        began = time.monotonic()
        cursor.execute(definition)
        print(f"; index of vectors in {time.monotonic() - began:.0f} s")
        cursor.execute("VACUUM (ANALYZE)")


@transaction.atomic
def fill_some(random: Any, centers: Any, places: list[Any]) -> None:
    """Make documents, one a place."""
    documents = [(uuid7(), *place) for place in places]
    chunks = [
        (uuid7(), organization, collection, document, position, " ".join(words(random, WORDS)))
        for document, organization, collection in documents
        for position in range(CHUNKS_A_DOCUMENT)
    ]
    topics = np.repeat(random.integers(0, TOPICS, len(documents)), CHUNKS_A_DOCUMENT)
    with connection.cursor() as cursor:
        copy(
            cursor,
            "knowledge_document (id, organization_id, collection_id, document_id, title, source_uri, content_type,"
            " content_hash, size, language, version, indexed_version, status, error, chunk_count, embedding_model,"
            " attempts, metadata)",
            ((*row, str(row[0]), "A document", "", "text/plain", row[0].hex * 2, 0, *DEFAULTS) for row in documents),
        )
        copy(
            cursor,
            "knowledge_chunk (id, organization_id, collection_id, document_id, position, heading_path, char_start,"
            " char_end, text, language, token_count)",
            ((*row[:5], "{A document}", 0, len(row[5]), row[5], "en", WORDS) for row in chunks),
        )
        copy(
            cursor,
            "knowledge_embedding (chunk_id, model, vector)",
            (
                (row[0], MODEL, f"[{','.join(f'{x:.5f}' for x in vector)}]")
                for row, vector in zip(chunks, vectors(random, centers, topics), strict=True)
            ),
        )


def copy(cursor: Any, into: str, rows: Any) -> None:
    """Write rows by COPY."""
    with cursor.copy(f"COPY {into} FROM STDIN") as target:
        for row in rows:
            target.write_row(row)


def nearest(organization_id: UUID, vector: Any) -> set[UUID]:
    """Return the ten chunks of the organization whose vectors are nearest, by reading all."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT chunk_id FROM knowledge_embedding WHERE organization_id = %s AND model = %s"
            " ORDER BY (vector <#> %s::halfvec) + 0 LIMIT 10",
            [organization_id, MODEL, str(vector.tolist())],
        )
        return {key for (key,) in cursor.fetchall()}


def ask(organization: Organization, questions: list[tuple[str, Any]], mode: Mode) -> None:
    """Search, and print how long it took and what share of the nearest was found.

    All is asked once before, so that what it reads is in memory.
    """
    times, found = [], 0
    for text, vector in questions:
        search(organization_id=organization.pk, question=Question(text, mode=mode), vectors={MODEL: vector})
    for text, vector in questions:
        began = time.perf_counter()
        hits = search(organization_id=organization.pk, question=Question(text, mode=mode), vectors={MODEL: vector})
        times.append(1000 * (time.perf_counter() - began))
        if mode == Mode.VECTOR:
            found += len({hit.chunk for hit in hits} & nearest(organization.pk, vector))
    percentiles = quantiles(times, n=20)
    recall = f"   recall@10 {found / (10 * len(questions)):.3f}" if mode == Mode.VECTOR else ""
    print(f"  {mode.value:<8} p50 {percentiles[9]:5.1f} ms   p95 {percentiles[18]:5.1f} ms{recall}")


def main() -> None:
    """Fill the database, unless that was done before; then ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=200)
    count = parser.parse_args().questions
    call_command("migrate", verbosity=0)
    random = np.random.default_rng(SEED)
    centers = unit(random.standard_normal((TOPICS, DIMENSIONS)))
    if not Embedding.objects.exists():
        fill(random, centers)
    random = np.random.default_rng(SEED + 1)
    asked = [
        (" ".join(words(random, QUESTION_WORDS)), vector)
        for vector in vectors(random, centers, random.integers(0, TOPICS, count)).astype(np.float32)
    ]
    for number in sorted(range(len(SIZES)), key=SIZES.__getitem__):
        if SIZES[number] in (500, 3000, 10_000, 40_000) and SIZES.index(SIZES[number]) == number:
            print(f"an organization of {SIZES[number]:,} chunks")
            organization = Organization.objects.get(slug=slug(number))
            for mode in Mode:
                ask(organization, asked, mode)


if __name__ == "__main__":
    main()

"""``manage.py evaluate_search``: how well a collection's search finds what people say is relevant."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import audit
from knowledge.embedders import EmbeddingError
from knowledge.management.naming import add_collection, find_collection
from knowledge.services.evaluation import (
    Quality,
    QuestionsError,
    best_weight,
    evaluate,
    missing,
    read_questions,
    set_weight,
)

HEADINGS = ("", "nDCG@10", "recall@5", "recall@10", "MRR@10")


class Command(BaseCommand):
    """Ask a collection questions whose answers are known, and print how well each mode of search does."""

    help = "Measure a collection's search by questions with known answers; --tune sets its hybrid weight by them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the collection and the questions."""
        add_collection(parser)
        parser.add_argument("questions", type=Path, help='a JSON object a line: {"text": …, "relevant": {id: worth}}')
        parser.add_argument("--tune", action="store_true", help="set the collection's hybrid weight to the best one")

    def handle(self, *args: Any, **options: Any) -> None:
        """Measure, print, and set the weight if asked to."""
        collection = find_collection(options["collection"], options["organization"])
        if collection is None:
            raise CommandError(f"There is no collection {options['collection']}.")
        try:
            questions = read_questions(options["questions"])
            self._warn(missing(collection, questions))
            modes, by_weight = evaluate(
                collection=collection, questions=questions, asked=self._progress(len(questions))
            )
        except (OSError, QuestionsError, EmbeddingError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{collection.name}: {len(questions)} questions, hybrid weight {collection.hybrid_weight:g}")
        self._row(*HEADINGS)
        for mode, quality in modes.items():
            self._quality(mode.value, quality)
        best = best_weight(by_weight)
        self._quality(f"best, {best:g}", by_weight[best])
        if options["tune"] and best != collection.hybrid_weight:
            with audit.context("command", details={"command": "evaluate_search"}):
                set_weight(collection_id=collection.pk, weight=best)
            self.stdout.write(self.style.SUCCESS(f"The hybrid weight is {best:g} now."))

    def _warn(self, missing: list[str]) -> None:
        if missing:
            text = f"The collection hasn't {len(missing)} of the documents that are said to be relevant: {missing[0]}"
            self.stderr.write(self.style.WARNING(text + (" and others." if missing[1:] else ".")))

    def _progress(self, total: int) -> Any:
        done = 0

        def asked() -> None:
            nonlocal done
            done += 1
            if self.stderr.isatty():
                self.stderr.write(f"\r{done} of {total}", ending="\n" if done == total else "")

        return asked

    def _quality(self, name: str, quality: Quality) -> None:
        figures = (quality.ndcg_10, quality.recall_5, quality.recall_10, quality.mrr_10)
        self._row(name, *(f"{figure:.3f}" for figure in figures))

    def _row(self, name: str, *figures: str) -> None:
        self.stdout.write(f"{name:<12}" + "".join(f"{figure:>11}" for figure in figures))

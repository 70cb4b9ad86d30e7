"""Search is measured by the usual formulas, and tuned by them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from core.models import AuditEvent, Organization
from knowledge.models import Collection, Document
from knowledge.services import evaluation
from knowledge.services.evaluation import Judged, Quality, QuestionsError, best_weight, quality, read_questions
from knowledge.services.search import Mode
from tests.factories.knowledge import CollectionFactory
from tests.knowledge.library import embed, shelve


def written(tmp_path: Path, *lines: Any) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


# --- Measures --------------------------------------------------------------------------------------


def test_the_measures_are_those_of_the_books() -> None:
    ranking = ["a", "x", "b", "y", "z", "c"]
    found = quality([ranking], [{"a": 3, "b": 2, "c": 1, "d": 1}])
    gain = 3 / math.log2(2) + 2 / math.log2(4) + 1 / math.log2(7)
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4) + 1 / math.log2(5)
    assert found == Quality(pytest.approx(gain / ideal), 2 / 4, 3 / 4, 1.0)


def test_a_perfect_ranking_is_worth_one_and_an_empty_one_nothing() -> None:
    worth = {str(number): 1.0 for number in range(12)}
    assert quality([list(worth)], [worth]) == Quality(pytest.approx(1), 5 / 12, 10 / 12, 1)
    assert quality([[]], [worth]) == Quality(0, 0, 0, 0)


def test_figures_are_means_and_places_beyond_ten_count_nothing() -> None:
    late = [*map(str, range(10)), "a"]
    found = quality([["x", "a"], late], [{"a": 1}, {"a": 1}])
    assert found == Quality(pytest.approx(1 / math.log2(3) / 2), 0.5, 0.5, 0.25)


def test_the_best_weight_is_the_middlemost_of_the_best() -> None:
    def by(**figures: float) -> dict[float, Quality]:
        return {float(weight[1:]) / 100: Quality(figure, 0, 0, 0) for weight, figure in figures.items()}

    assert best_weight(by(w0=0.1, w50=0.4, w70=0.5)) == 0.7
    assert best_weight(by(w0=0.5, w60=0.50001, w100=0.5)) == 0.6


# --- Questions -------------------------------------------------------------------------------------


def test_questions_are_read_and_other_lines_passed_over(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"type": "meta", "name": "a set"},
        {"type": "passage", "id": "1", "text": "…"},
        {"type": "question", "text": " why? ", "relevant": {"a": 2, "b": 0}},
        "",
        {"text": "how?", "relevant": ["c"]},
        {"text": "nothing is relevant to this", "relevant": {}},
    )
    assert read_questions(path) == [Judged("why?", {"a": 2.0}), Judged("how?", {"c": 1.0})]


@pytest.mark.parametrize("line", ["no json", "[]", '{"text": "why?"}', '{"text": 1, "relevant": []}'])
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(QuestionsError, match=r'^Line 2 isn\'t like \{"text"'):
        read_questions(written(tmp_path, {"text": "why?", "relevant": ["a"]}, line))


def test_a_file_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuestionsError, match="no question"):
        read_questions(written(tmp_path, {"type": "meta"}))


# --- The command -----------------------------------------------------------------------------------


@pytest.fixture
def collection(organization: Organization) -> Collection:
    """Parts that differ only behind what the model reads: their words tell them apart, and their vectors don't."""
    collection = CollectionFactory(organization=organization, name="Parts")
    for number in range(20):
        shelve(collection, f"{'A valve is a valve. ' * 60} xk{number}", document_id=f"part-{number}", title="Part")
    shelve(collection, "Nothing of this.", "The part that is asked for.", document_id="twice")
    embed(collection)
    return collection


def questions(tmp_path: Path) -> Path:
    return written(tmp_path, *({"text": f"part xk{n}", "relevant": [f"part-{n}"]} for n in range(20)))


@pytest.mark.django_db
def test_modes_are_printed_side_by_side(collection: Collection, tmp_path: Path, capsys: Any) -> None:
    call_command("evaluate_search", "Parts", questions(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Parts: 20 questions, hybrid weight 0.5"
    assert lines[1].split() == ["nDCG@10", "recall@5", "recall@10", "MRR@10"]
    rows = {line.split()[0]: list(map(float, line.split()[-4:])) for line in lines[2:]}
    assert rows["text"] == [1, 1, 1, 1]
    assert rows["vector"][0] < 1
    assert rows["best,"][0] >= rows["hybrid"][0] > rows["vector"][0]
    collection.refresh_from_db()
    assert collection.hybrid_weight == 0.5


@pytest.mark.django_db
def test_tuning_sets_the_weight(collection: Collection, tmp_path: Path, capsys: Any) -> None:
    Collection.objects.filter(pk=collection.pk).update(hybrid_weight=1)
    call_command("evaluate_search", str(collection.pk), questions(tmp_path), "--tune")
    collection.refresh_from_db()
    assert collection.hybrid_weight < 1
    assert f"The hybrid weight is {collection.hybrid_weight:g} now." in capsys.readouterr().out
    event = AuditEvent.objects.filter(event_type="collection.update").latest("timestamp")
    assert event.new_value == {"hybrid_weight": collection.hybrid_weight}
    assert event.details["command"] == "evaluate_search"


@pytest.mark.django_db
def test_every_weight_is_what_search_by_it_finds(collection: Collection) -> None:
    judged = [Judged(f"which valve is xk{n}?", {f"part-{n}": 1.0}) for n in range(5)]
    for weight in (0.0, 0.35, 1.0):
        Collection.objects.filter(pk=collection.pk).update(hybrid_weight=weight)
        modes, by_weight = evaluation.evaluate(collection=collection, questions=judged)
        assert modes[Mode.HYBRID] == by_weight[weight]


@pytest.mark.django_db
def test_what_cannot_be_evaluated_is_told(collection: Collection, tmp_path: Path) -> None:
    CollectionFactory(organization=collection.organization, name="Other")
    for name in ("Lost", str(collection.organization_id)):
        with pytest.raises(CommandError, match=f"There is no collection {name}"):
            call_command("evaluate_search", name, questions(tmp_path))
    with pytest.raises(CommandError, match="No such file"):
        call_command("evaluate_search", "Parts", tmp_path / "lost")
    with pytest.raises(CommandError, match="Line 1"):
        call_command("evaluate_search", "Parts", written(tmp_path, "no"))


@pytest.mark.django_db
def test_documents_that_are_not_there_are_told(collection: Collection, tmp_path: Path, capsys: Any) -> None:
    def warned(*relevant: str) -> str:
        row = {"text": "which valve is xk1?", "relevant": relevant}
        call_command("evaluate_search", "Parts", written(tmp_path, row))
        return str(capsys.readouterr().err)

    said = "The collection hasn't"
    assert said not in warned("part-1", "part-2")
    assert f"{said} 1 of the documents that are said to be relevant: part-x." in warned("part-1", "part-x")
    said_of_two = f"{said} 2 of the documents that are said to be relevant: part-x and others."
    assert said_of_two in warned("part-y", "part-1", "part-x")
    Document.objects.get(document_id="part-1").delete()
    assert f"{said} 1 of the documents that are said to be relevant: part-1." in warned("part-1", "part-2")
    with pytest.raises(CommandError, match="Parts has none of the documents that are said to be relevant"):
        warned("part-1")


@pytest.mark.django_db
def test_of_collections_of_one_name_the_organization_s_is_meant(
    collection: Collection, other_organization: Organization, tmp_path: Path, capsys: Any
) -> None:
    CollectionFactory(organization=other_organization, name="Parts")
    with pytest.raises(CommandError, match="2 organizations have a collection Parts: say which by --organization"):
        call_command("evaluate_search", "Parts", questions(tmp_path))
    with pytest.raises(CommandError, match="There is no organization lost"):
        call_command("evaluate_search", "Parts", questions(tmp_path), organization="lost")
    call_command("evaluate_search", "Parts", questions(tmp_path), organization=collection.organization.slug)
    assert capsys.readouterr().out.startswith("Parts: 20 questions")

"""The admin of round tables: made with entries, judged by a button, read-only then; and the leaderboard's page."""

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from agents.admin.leaderboard import plot
from agents.models import RoundTable, RoundTableEntry, RoundTableVote
from agents.services.leaderboard import leaderboard
from core.models import Organization, Role
from tests.admin.conftest import Staff, StaffMaker, make_staff, staff, superuser  # noqa: F401 (fixtures)
from tests.admin.pages import inline_code, listed, url
from tests.factories.agents.round_tables import RoundTableFactory, judged, judged_by_votes
from tests.kit.database import writes_nothing

pytestmark = pytest.mark.django_db

BOARD = "/admin/agents/roundtable/leaderboard/"


@pytest.fixture
def table(organization: Organization) -> RoundTable:
    return RoundTableFactory(organization=organization)


def form(
    table: RoundTable | None, organization: Organization, *entries: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    """Return what the page of a round table posts."""
    data = {
        "organization": str(organization.pk),
        "prompt": "Why?",
        "task_category": "physics",
        "judge": "Ada",
        "criteria": "{}",
        "metadata": "{}",
        "entries-TOTAL_FORMS": len(entries),
        "entries-INITIAL_FORMS": sum("id" in entry for entry in entries),
        "entries-MIN_NUM_FORMS": 0,
        "entries-MAX_NUM_FORMS": 20,
    }
    for number, entry in enumerate(entries):
        data |= {f"entries-{number}-{name}": value for name, value in entry.items()}
        data[f"entries-{number}-round_table"] = str(table.pk) if table else ""
    return data | fields


def press(staff: Staff, record: Any, action: str, **data: Any) -> str:  # noqa: F811
    """Press a record's button, answer what it asks, and return the page that follows."""
    answer = staff.client.post(url("action", type(record), record.pk, action), {"confirmed": "1", **data}, follow=True)
    assert answer.status_code == 200
    record.refresh_from_db()
    return answer.content.decode()


# --- Round tables ------------------------------------------------------------------------------------


def test_a_round_table_is_made_with_its_entries(staff: Staff, organization: Organization) -> None:  # noqa: F811
    entries = [{"provider": "acme", "model": name, "response": "So.", "cost": "0.5"} for name in "ab"]
    answer = staff.client.post(url("add", RoundTable), form(None, organization, *entries), follow=True)
    made = RoundTable.objects.get()
    assert (made.entry_count, made.total_cost, made.status) == (2, 1, "pending"), answer.content.decode()
    assert {entry.organization_id for entry in made.entries.all()} == {organization.pk}


def test_one_entry_is_too_few(staff: Staff, organization: Organization) -> None:  # noqa: F811
    with writes_nothing():
        answer = staff.client.post(url("add", RoundTable), form(None, organization, {"provider": "acme", "model": "a"}))
    assert "two entries or more" in answer.content.decode()


def test_entries_change_until_they_are_judged(staff: Staff, table: RoundTable) -> None:  # noqa: F811
    entries = [
        {"id": str(entry.pk), "provider": "acme", "model": entry.model, "response": "New.", "cost": "0.25"}
        for entry in table.entries.all()
    ]
    page = url("change", RoundTable, table.pk)
    staff.client.post(page, form(table, table.organization, *entries), follow=True)
    table.refresh_from_db()
    assert (float(table.total_cost or 0), {entry.response for entry in table.entries.all()}) == (0.5, {"New."})
    judged(table)
    html = staff.client.get(page).content.decode()
    assert 'name="entries-0-response"' not in html
    assert 'name="prompt"' not in html
    staff.client.post(
        page, form(table, table.organization, *entries, metadata='{"a": 1}', prompt="Other?"), follow=True
    )
    table.refresh_from_db()
    assert (table.metadata, table.prompt) == ({"a": 1}, "Why?")


def test_the_button_judges_by_a_ranking(staff: Staff, organization: Organization) -> None:  # noqa: F811
    table = RoundTableFactory(organization=organization, entry_count=3)
    press(staff, table, "judge", ranking="acme/model-1\nacme/model-0 = acme/model-2\n", judge="Grace")
    ranks = {entry.model: entry.rank for entry in table.entries.all()}
    assert ranks == {"model-1": 1, "model-0": 2, "model-2": 2}
    assert (table.judge, str(table.winner)) == ("Grace", "acme/model-1")


def test_the_button_judges_by_scores(staff: Staff, table: RoundTable) -> None:  # noqa: F811
    scores = {f"acme/model-{n}": {"accuracy": n, "style": 1} for n in range(2)}
    press(staff, table, "judge", scores=json.dumps(scores))
    assert str(table.winner) == "acme/model-1"
    assert [float(entry.total_score or 0) for entry in table.entries.all()] == [3, 1]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"ranking": "acme/other"}, "is none of the entries"),
        ({"ranking": "acme/model-0\nacme/model-0"}, "has two ranks"),
        ({"ranking": "acme/model-0"}, "Judge all answers"),
        ({"scores": "[1]"}, "Scores are a JSON object"),
        ({}, "A judgement has scores, ranks or votes"),
    ],
)
def test_a_wrong_judgement_is_told(said: dict[str, str], told: str, staff: Staff, table: RoundTable) -> None:  # noqa: F811
    assert told in press(staff, table, "judge", **said)
    assert table.status == "pending"


def test_a_judged_round_table_is_cancelled_and_not_deleted(staff: Staff, table: RoundTable) -> None:  # noqa: F811
    judged(table)
    staff.client.post(url("delete", RoundTable, table.pk), {"post": "yes"}, follow=True)
    data = {"action": "delete_selected", "_selected_action": [str(table.pk)], "post": "yes"}
    staff.client.post(url("changelist", RoundTable), data, follow=True)
    assert RoundTable.objects.filter(pk=table.pk).exists()
    press(staff, table, "cancel", reason="wrong prompt")
    assert table.status == "cancelled"


def test_a_pending_round_table_is_deleted(staff: Staff, table: RoundTable) -> None:  # noqa: F811
    staff.client.post(url("delete", RoundTable, table.pk), {"post": "yes"}, follow=True)
    assert not RoundTable.objects.exists()


def test_entries_and_votes_are_to_look_at(staff: Staff, table: RoundTable) -> None:  # noqa: F811
    one, other = table.entries.order_by("model")
    judged_by_votes(table, (one, other, "first"), (other, one, "second"))
    vote = table.votes.first()
    assert vote is not None
    with writes_nothing():
        for record in (one, vote):
            model = type(record)
            assert listed(staff.client.get(url("changelist", model)).content.decode())
            assert staff.client.get(url("change", model, record.pk)).status_code == 200
            assert staff.client.get(url("add", model)).status_code == 403
            assert staff.client.post(url("change", model, record.pk), {"judge": "x"}).status_code == 403
            assert staff.client.post(url("delete", model, record.pk), {"post": "yes"}).status_code == 403
    assert {RoundTableEntry, RoundTableVote} == {type(one), type(vote)}


# --- The leaderboard ---------------------------------------------------------------------------------


def drawing(html: str) -> Any:
    """Return the SVG of a page."""
    text = html[html.index("<svg class") :]
    return ElementTree.fromstring(text[: text.index("</svg>") + 6])


def test_the_list_leads_to_the_leaderboard(staff: Staff, make_staff: StaffMaker) -> None:  # noqa: F811
    looker = make_staff("looker", Role.VIEWER, permissions=["view_roundtable"])
    for each in (staff, looker):
        assert f'href="{BOARD}"' in each.client.get(url("changelist", RoundTable)).content.decode()
        assert each.client.get(BOARD).status_code == 200


def test_the_leaderboard_is_drawn(staff: Staff, organization: Organization) -> None:  # noqa: F811
    for _ in range(4):
        judged(organization=organization, entry_count=3, task_category="physics")
    html = staff.client.get(BOARD).content.decode()
    assert not inline_code(html)
    svg = drawing(html)
    names = [text.text for text in svg.iter("text") if text.get("class") == "name"]
    assert names == ["1. acme/model-0", "2. acme/model-1", "3. acme/model-2"]
    places = [float(dot.get("cx")) for dot in svg.iter("circle")]
    assert places == sorted(places, reverse=True)
    assert "of the 4 round tables" in html
    assert "No round table was judged here" in staff.client.get(BOARD, {"category": "law"}).content.decode()
    assert "No round table was judged here" in staff.client.get(BOARD, {"end": "2020-01-01"}).content.decode()
    assert "less than or equal to" in staff.client.get(BOARD, {"end": "9999-12-31"}).content.decode()


def test_points_and_intervals_stand_where_the_scale_says(organization: Organization) -> None:
    for ranks in ((1, 2, 3), (1, 2, 3), (2, 1, 3), (1, 3, 2)):
        table = RoundTableFactory(organization=organization, entry_count=3)
        judged(table, {f"model-{n}": rank for n, rank in enumerate(ranks)})
    board = leaderboard(organization_id=organization.pk)
    drawn = plot(board)
    assert drawn is not None
    (x0, s0), (x1, s1) = ((float(tick.x), float(tick.label)) for tick in (drawn.ticks[0], drawn.ticks[-1]))
    for mark, standing in zip(drawn.marks, board.standings, strict=True):
        for place, value in ((mark.low, standing.low), (mark.middle, standing.strength), (mark.high, standing.high)):
            assert value is not None
            assert float(place) == pytest.approx(x0 + (value - s0) / (s1 - s0) * (x1 - x0), abs=0.06)
            assert x0 <= float(place) <= x1


def test_staff_see_their_own_organizations_leaderboard(
    staff: Staff,  # noqa: F811
    superuser: Staff,  # noqa: F811
    make_staff: StaffMaker,  # noqa: F811
    other_organization: Organization,
) -> None:
    judged(organization=other_organization)
    theirs = {"organization": str(other_organization.pk)}
    assert "<svg class" not in staff.client.get(BOARD).content.decode()
    assert "acme/model-0" not in staff.client.get(BOARD, theirs).content.decode()
    assert "acme/model-0" in superuser.client.get(BOARD).content.decode()
    stranger = make_staff("nobody", permissions=["view_task"])
    assert stranger.client.get(BOARD).status_code == 403

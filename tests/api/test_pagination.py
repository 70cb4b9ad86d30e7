"""Keyset pages: each row on one page, in order, both ways, on ties and nulls, whatever is written meanwhile."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.api import pagination
from core.api.views import APIKeyViewSet
from core.models import APIKey
from tests.factories.core import APIKeyFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient

pytestmark = pytest.mark.django_db

KEYS = "/api/v1/api-keys/"
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
COLUMNS = ("created_at", "name", "expires_at")  # the last one may be null

in_one_transaction = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# Few values a column, so that most rows tie.
some_rows = st.lists(
    st.tuples(
        st.integers(0, 2).map(lambda n: EPOCH + timedelta(microseconds=n)),
        st.sampled_from(["a", "B", "é", "z z"]),
        st.one_of(st.none(), st.integers(0, 1).map(lambda n: EPOCH + timedelta(days=n))),
    ),
    max_size=14,
)
orderings = st.lists(
    st.tuples(st.sampled_from(COLUMNS), st.sampled_from(["", "-"])), max_size=3, unique_by=lambda term: term[0]
).map(lambda terms: ",".join(direction + name for name, direction in terms))
limits = st.integers(1, 5)


@pytest.fixture(autouse=True)
def order_by_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let keys be ordered by a column that may be null."""
    monkeypatch.setattr(APIKeyViewSet, "ordering_fields", COLUMNS)


@contextmanager
def undone() -> Iterator[None]:
    """Take back what one example wrote."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def make_keys(actor: Actor, rows: list[tuple[Any, ...]]) -> list[APIKey]:
    made = [
        APIKeyFactory.build(
            organization=actor.organization, user=actor.user, created_at=created_at, name=name, expires_at=expires_at
        )
        for created_at, name, expires_at in rows
    ]
    return APIKey.objects.bulk_create(made)


def pages(client: ApiClient, direction: str, address: str, between: Callable[[], Any] = lambda: None) -> list[Any]:
    """Follow the links in one direction, and return each page's body; ``between`` runs before each next one."""
    found: list[Any] = []
    while address:
        answer = client.get(address)
        assert answer.status_code == 200, answer.content
        found.append(answer.json())
        assert len(found) < 100, "The pages don't end."
        address = found[-1][direction]
        between()
    return found


def ids(found: list[Any]) -> list[str]:
    return [row["id"] for page in found for row in page["results"]]


def first_page(ordering: str, limit: int) -> str:
    return f"{KEYS}?limit={limit}" + (f"&ordering={ordering}" if ordering else "")


def expected(actor: Actor, ordering: str) -> list[str]:
    """Return the ids in the order that PostgreSQL itself has them in: the primary key follows the last term."""
    names = ordering.split(",") if ordering else ["-created_at"]
    names.append("-id" if names[-1].startswith("-") else "id")
    rows = APIKey.objects.filter(organization=actor.organization).order_by(*names)
    return [str(pk) for pk in rows.values_list("pk", flat=True)]


@in_one_transaction
@given(rows=some_rows, ordering=orderings, limit=limits)
@example(rows=[(EPOCH, "a", None)] * 6, ordering="", limit=2)
@example(rows=[(EPOCH, "a", None), (EPOCH, "a", EPOCH)] * 3, ordering="-expires_at", limit=1)
@example(rows=[(EPOCH, "a", None), (EPOCH, "a", EPOCH)] * 3, ordering="expires_at,-name", limit=1)
def test_pages_hold_each_row_once_in_order_and_lead_back(
    owner: Actor, rows: list[tuple[Any, ...]], ordering: str, limit: int
) -> None:
    with undone():
        make_keys(owner, rows)
        forwards = pages(owner.by_key, "next", first_page(ordering, limit))
        assert ids(forwards) == expected(owner, ordering)
        assert all(len(page["results"]) == limit for page in forwards[:-1])
        assert forwards[0]["previous"] is None

        if len(forwards) > 1:
            back = pages(owner.by_key, "previous", forwards[-1]["previous"])
            assert [page["results"] for page in reversed(back)] == [page["results"] for page in forwards[:-1]]
            again = pages(owner.by_key, "next", back[-1]["next"])
            assert [page["results"] for page in again] == [page["results"] for page in forwards[1:]]


@in_one_transaction
@given(rows=some_rows, ordering=orderings, limit=limits, later=some_rows, data=st.data())
def test_rows_written_and_deleted_meanwhile_neither_repeat_nor_hide_others(
    owner: Actor,
    rows: list[tuple[Any, ...]],
    ordering: str,
    limit: int,
    later: list[tuple[Any, ...]],
    data: st.DataObject,
) -> None:
    with undone():
        first = {str(key.pk) for key in make_keys(owner, rows)} | {str(owner.key.pk)}
        deleted: set[str] = set()
        waiting = list(later)

        def write_and_delete() -> None:
            if waiting:
                make_keys(owner, [waiting.pop()])
            standing = sorted(first - deleted - {str(owner.key.pk)})
            if standing and data.draw(st.booleans()):
                gone = data.draw(st.sampled_from(standing))
                APIKey.objects.filter(pk=gone).delete()
                deleted.add(gone)

        seen = ids(pages(owner.by_key, "next", first_page(ordering, limit), write_and_delete))
        assert len(seen) == len(set(seen)), "A row came twice."
        assert first - deleted <= set(seen), "A row that stood all the time was lost."


def test_filters_and_other_parameters_go_along(owner: Actor) -> None:
    make_keys(owner, [(EPOCH, "a", None)] * 5 + [(EPOCH, "b", EPOCH)] * 5)
    address = f"{KEYS}?limit=2&fields=id,user&user={owner.user.pk}&revoked=false&ordering=name"
    found = pages(owner.by_key, "next", address)
    assert len(ids(found)) == 11
    assert all(set(row) == {"id", "user"} for page in found for row in page["results"])


@pytest.mark.parametrize("ordering", ["", "name", "-name", "created_at,-name"])
def test_an_empty_list_is_one_empty_page(ordering: str, owner: Actor) -> None:
    answer = owner.by_key.get(KEYS, {"prefix": "nothing0", **({"ordering": ordering} if ordering else {})}).json()
    assert answer == {"next": None, "previous": None, "results": []}


def test_a_page_whose_rows_are_all_gone_leads_back(owner: Actor) -> None:
    make_keys(owner, [(EPOCH - timedelta(days=5000), "old", None)] * 3)
    address = owner.by_key.get(KEYS, {"limit": 1}).json()["next"]
    APIKey.objects.filter(name="old").delete()
    page = owner.by_key.get(address).json()
    assert page["results"] == []
    assert page["next"] is None
    assert ids([owner.by_key.get(page["previous"]).json()]) == []


# --- Parameters ------------------------------------------------------------------------------------


def refused(client: ApiClient, query: dict[str, Any] | str) -> dict[str, Any]:
    answer = client.get(f"{KEYS}?{query}") if isinstance(query, str) else client.get(KEYS, query)
    assert answer.status_code == 400, answer.content
    [error] = answer.json()["errors"]
    return error


@pytest.mark.parametrize(
    "limit", ["0", "-1", "201", "1000000", "1.5", "ten", "", " ", "1e2", "٣", "²", "1\0", "9" * 5000]
)
def test_a_limit_out_of_bounds_is_refused(limit: str, owner: Actor) -> None:
    assert refused(owner.by_key, {"limit": limit})["field"] == "limit"


def test_limits_and_the_default(owner: Actor) -> None:
    make_keys(owner, [(EPOCH, "a", None)] * 210)
    for limit, length in ((1, 1), (200, 200), (None, pagination.DEFAULT_LIMIT)):
        answer = owner.by_key.get(KEYS, {"limit": limit} if limit else {})
        assert len(answer.json()["results"]) == length


def encode(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


ORDER = "-created_at,-id"
ID = "01a20000-0000-7000-8000-000000000000"
NOW = "2030-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "====",
        "é",
        "\0",
        "A" * 100_000,
        encode(None),
        encode([]),
        encode({}),
        encode("text"),
        encode([ORDER, False]),
        encode([ORDER, False, []]),
        encode([ORDER, False, [NOW]]),
        encode([ORDER, False, [NOW, "no id"]]),
        encode([ORDER, False, ["no time", ID]]),
        encode([ORDER, False, [{"a": 1}, ID]]),
        encode([ORDER, False, [[NOW], ID]]),
        encode([ORDER, False, [1, ID]]),
        encode([ORDER, False, [NOW, 10**40]]),
        encode([ORDER, False, [NOW, ID, ID]]),
        encode(["name,id", False, ["a", ID]]),
        encode([1, False, [NOW, ID]]),
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str, owner: Actor) -> None:
    assert refused(owner.by_key, {"cursor": cursor})["field"] == "cursor"


@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime")
@pytest.mark.parametrize("values", [[None, ID], [NOW, None], ["0001-01-01T00:00:00+14:00", ID], ["2030-01-01", ID]])
@pytest.mark.parametrize("backwards", [True, False, None, "yes", []])
def test_a_strange_cursor_is_refused_or_answered(values: list[Any], backwards: Any, owner: Actor) -> None:
    answer = owner.by_key.get(KEYS, {"cursor": encode([ORDER, backwards, values])})
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize("value", ["a\0b", "\ud800", 1, True, ["a"], {"a": 1}, "x" * 10_000])
def test_a_strange_text_in_a_cursor_is_refused_or_answered(value: Any, owner: Actor) -> None:
    answer = owner.by_key.get(KEYS, {"ordering": "name", "cursor": encode(["name,id", False, [value, ID]])})
    assert answer.status_code in (200, 400)


@in_one_transaction
@given(cursor=st.text(max_size=40))
def test_any_text_as_a_cursor_is_refused_or_answered(owner: Actor, cursor: str) -> None:
    assert owner.by_key.get(KEYS, {"cursor": cursor}).status_code in (200, 400)


def test_a_cursor_of_another_ordering_is_refused(owner: Actor) -> None:
    make_keys(owner, [(EPOCH, "a", None)] * 2)
    address = owner.by_key.get(KEYS, {"limit": 1, "ordering": "name"}).json()["next"]
    error = refused(owner.by_key, address.partition("?")[2].replace("ordering=name", "ordering=-name"))
    assert "another ordering" in error["detail"]


@pytest.mark.parametrize(
    "ordering", ["digest", "user__password", "-", "--name", "name;", "name,digest", "pk", "?", "\0"]
)
def test_an_ordering_by_what_is_not_offered_is_refused(ordering: str, owner: Actor) -> None:
    assert refused(owner.by_key, {"ordering": ordering})["field"] == "ordering"


# --- Counts ----------------------------------------------------------------------------------------


def test_a_count_is_told_only_to_who_asks(owner: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    make_keys(owner, [(EPOCH, "a", None)] * 7)
    assert "count" not in owner.by_key.get(KEYS).json()
    for how in ("exact", "estimate"):
        assert owner.by_key.get(KEYS, {"count": how, "limit": 1}).json()["count"] == 8
    assert refused(owner.by_key, {"count": "roughly"})["field"] == "count"


def test_many_rows_are_estimated(owner: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "COUNTED_EXACTLY", 5)
    make_keys(owner, [(EPOCH, "a", None)] * 20)
    assert owner.by_key.get(KEYS, {"count": "estimate"}).json()["count"] >= 5
    assert owner.by_key.get(KEYS, {"count": "exact"}).json()["count"] == 21


def test_a_count_heeds_the_filters_and_not_the_page(owner: Actor) -> None:
    make_keys(owner, [(EPOCH, "a", None)] * 7)
    query = {"count": "exact", "prefix": owner.key.prefix}
    assert owner.by_key.get(KEYS, query).json()["count"] == 1
    page = owner.by_key.get(KEYS, {"count": "exact", "limit": 3}).json()
    assert owner.by_key.get(page["next"]).json()["count"] == 8

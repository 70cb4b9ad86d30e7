"""Whatever a client sends, the answer is no failure: null characters, huge and deep and wrong values, everywhere."""

import json
from typing import Any

import django_filters
import pytest
from django.db import transaction

from core.models import Organization
from tests.kit.cast import Actor
from tests.kit.reflection import Route, list_routes
from tests.permissions import Row, all_rows, body_of, target_of

pytestmark = pytest.mark.django_db

WRONG: list[Any] = [
    None,
    "a\0b",
    "\u202e\x1b[31m",
    "x" * 70_000,
    True,
    2**63,
    10**40,
    "NaN",
    [None, ["a\0b"]],
    {"a": {"b": [None, {"c\0": "\0"}]}},
    "9999-12-31T23:59:59.999999-23:59",
    "01a20000-0000-7000-8000-000000000000",
]
BODIES: list[Any] = [None, [], {}, "text", 1, [None], [[]], [{}] * 3, {"": 1}, {"\0": 1}]
WRITING = [row for row in all_rows() if row.method in ("POST", "PATCH")]


@pytest.mark.parametrize(("place", "row"), list(enumerate(WRITING)), ids=str)
def test_no_body_and_no_value_is_a_failure(place: int, row: Row, owner: Actor, organization: Organization) -> None:
    """All of them would take long at each address: each gets every second or third, and its neighbours the others."""
    target, right = target_of(row, organization), body_of(row, organization) or {}
    path = row.route.path(target.pk if target else None)
    many = isinstance(right, list)
    one = right[0] if many else right
    names = [*one, "reason"][: 1 if many else None]  # arrays go through the same fields as one record does
    # By itself, so that all else is right, and together with the others.
    wrong = [{**one, name: value} for number, name in enumerate(names, place) for value in WRONG[number % 3 :: 3]]
    wrong += [dict.fromkeys(names, value) for value in WRONG[place % 2 :: 2]]
    for body in [*BODIES[place % 2 :: 2], *([each] if many else each for each in wrong)]:
        with transaction.atomic():
            answer = owner.by_key.generic(row.method, path, json.dumps(body), "application/json")
            transaction.set_rollback(True)
        assert answer.status_code < 500, body


@pytest.mark.parametrize("depth", [100, 500, 1000, 1030, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_json_is_stored_or_refused(depth: int, opening: str, closing: str, owner: Actor) -> None:
    address = f"/api/v1/organizations/{owner.organization.pk}/"
    body = '{"settings": {"deep": ' + opening * depth + "1" + closing * depth + "}}"
    with transaction.atomic():
        answer = owner.by_key.generic("PATCH", address, body, "application/json")
        assert answer.status_code in (200, 400)
        if answer.status_code == 200:
            assert owner.by_key.get(address).status_code == 200
            assert owner.by_key.get("/api/v1/audit-events/").status_code == 200


def parameters(route: Route) -> list[str]:
    """Return the names of the parameters, and those of the bounds that ranges have."""
    names = ["limit", "cursor", "count", "ordering", "fields", "format"]
    filterset = getattr(route.viewset, "filterset_class", None)
    for name, each in (filterset.base_filters if filterset else {}).items():
        ranges = isinstance(each, django_filters.RangeFilter)
        names += [f"{name}_min", f"{name}_max", f"{name}_after", f"{name}_before"] if ranges else [name]
    return names


HOSTILE = ["", "a\0b", "%'\"\\;--", "9" * 400, "NaN", '{"a":"\\u0000"}', "9999-12-31T23:59:59-23:59", ",,,"]


@pytest.mark.parametrize(("place", "route"), list(enumerate(list_routes())), ids=str)
def test_no_parameter_is_a_failure(place: int, route: Route, owner: Actor) -> None:
    for number, name in enumerate(parameters(route), place):
        for value in HOSTILE[
            number % 2 :: 2
        ]:  # what most lists have in common gets all of them, in one list or another
            with transaction.atomic():
                answer = owner.by_key.get(route.path(), {name: value})
                transaction.set_rollback(True)
            assert answer.status_code in (200, 400, 404), (name, value)

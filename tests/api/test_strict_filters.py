"""What no filter can be is refused, in every list: answered with everything or with nothing, it would look right."""

from typing import Any

import django_filters
import pytest
from django_filters.utils import get_model_field

from core.api import filters
from core.api.filters import CharInFilter
from tests.kit.cast import Actor
from tests.kit.reflection import Route, list_routes

pytestmark = pytest.mark.django_db


def filters_of(kind: Any) -> list[Any]:
    """Return each list's filters of a kind, as parameters of a test."""
    return [
        pytest.param(route, name, each, id=f"{route.template}?{name}")
        for route in list_routes()
        for name, each in (getattr(route.viewset, "filterset_class", None) or NoFilters).base_filters.items()
        if isinstance(each, kind)
    ]


class NoFilters:
    """Of a list that has none."""

    base_filters: dict[str, Any] = {}


def choices_of(route: Route, each: Any) -> list[str]:
    """Return the words that a filter's field can be, if these are few."""
    if isinstance(each, django_filters.ChoiceFilter | django_filters.MultipleChoiceFilter):
        return [word for word, _ in each.extra["choices"]]
    field = get_model_field(route.viewset.filterset_class._meta.model, each.field_name)  # type: ignore[union-attr]
    return [word for word, _ in getattr(field, "choices", None) or ()]


BOOLEANS = filters_of(django_filters.BooleanFilter)
CHOICES = [
    parameter
    for parameter in filters_of((CharInFilter, django_filters.CharFilter, django_filters.ChoiceFilter))
    if choices_of(parameter.values[0], parameter.values[2])
]


def refusal(actor: Actor, route: Route, name: str, value: str) -> str:
    """Return why the list refuses the value, which it must, naming the parameter."""
    answer = actor.by_key.get(route.path(), {name: value})
    assert answer.status_code == 400, answer.json()
    [error] = answer.json()["errors"]
    assert error["field"] == name
    return str(error["detail"])


@pytest.mark.parametrize(("route", "name", "each"), BOOLEANS)
def test_a_boolean_is_true_or_false(route: Route, name: str, each: Any, owner: Actor) -> None:
    for wrong in ("maybe", "2", "yes", "none", "true,false"):
        assert "true or false" in refusal(owner, route, name, wrong)
    for right in ("true", "false", "True", "1", "0", ""):
        assert owner.by_key.get(route.path(), {name: right}).status_code == 200, right


@pytest.mark.parametrize(("route", "name", "each"), CHOICES)
def test_a_choice_is_one_of_the_fields_words(route: Route, name: str, each: Any, owner: Actor) -> None:
    words = choices_of(route, each)
    for wrong in ("bogus", f"{words[0]},bogus", words[0].upper() + "x"):
        assert words[0] in refusal(owner, route, name, wrong)
    several = [",".join(words)] if isinstance(each, CharInFilter) else []
    for right in (*words, *several, ""):
        assert owner.by_key.get(route.path(), {name: right}).status_code == 200, right


def test_a_filter_is_as_strict_after_somebody_else_used_it(owner: Actor) -> None:
    """The OpenAPI document asks filters for their fields, which then stay with them."""
    route, name, each = CHOICES[0].values
    assert each.field
    filters._filters.cache_clear()
    refusal(owner, route, name, "bogus")


def test_there_are_such_filters() -> None:
    assert len(BOOLEANS) > 3
    assert len(CHOICES) > 15

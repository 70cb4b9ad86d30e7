"""How tests tell which way a request went."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.models import APIKey
from tests.kit.cast import Actor
from tests.kit.client import ApiClient

BODY = {"name": "Look", "description": "“At” it's\n%s {}", "config": {"a": [1, None, "\u00fc"]}, "max_rounds": 3}


def just_used(actor: Actor) -> ApiClient:
    """Return a client whose key was used just now, so that no use must be noted."""
    APIKey.objects.filter(pk=actor.key.pk).update(last_used_at=timezone.now())
    return actor.by_key


@contextmanager
def statements() -> Iterator[list[str]]:
    """Give the statements run meanwhile."""
    found: list[str] = []
    with CaptureQueriesContext(connection) as queries:
        yield found
    found += [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]


def is_short(found: list[str]) -> bool:
    """Tell whether the request went the short way: by one statement, with the gate in it."""
    return any('"allowed"' in sql for sql in found)


def assert_equal(short: Any, ordinary: Any) -> None:
    assert (short.status_code, dict(short.headers)) == (ordinary.status_code, dict(ordinary.headers))
    assert short.content == ordinary.content

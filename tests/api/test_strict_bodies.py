"""A misspelt field is an error, not a loss: in the bodies of actions too."""

from typing import Any

import pytest

from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.permissions import Row, all_rows, body_of, has_body, target_of

pytestmark = pytest.mark.django_db

BODIED = [
    row for row in all_rows() if row.method in ("POST", "PATCH") and row.statuses["owner"] < 300 and has_body(row)
]


@pytest.mark.parametrize("row", BODIED, ids=str)
def test_a_misspelt_field_is_refused(row: Row, owner: Actor) -> None:
    target, body = target_of(row, owner.organization), body_of(row, owner.organization)
    client: ApiClient = owner.client
    answer: Any = client.send(row.method, row.route.path(target.pk if target else None), body | {"misspelt": 1})
    assert answer.status_code == 400, answer.content
    assert {"field": "misspelt", "code": "unknown"}.items() <= answer.json()["errors"][0].items()

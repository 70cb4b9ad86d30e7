"""Log lines: JSON or plain, with their request's names, and what stays out of them."""

import json
import logging
import time
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections
from django.utils import timezone

from core.models import APIKey
from core.observability.context import RequestNames, current
from core.observability.logs import JSONFormatter, PlainFormatter, RequestFilter
from tests.kit.cast import Actor
from tests.kit.client import ORDINARY_WAY, ApiClient

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Any:
    """What is logged meanwhile, as JSON, by everything."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    handler.addFilter(RequestFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)


def access(lines: list[dict[str, Any]]) -> dict[str, Any]:
    [line] = [line for line in lines if line["logger"] == "muster.access"]
    return line


@pytest.mark.parametrize("way", [{}, ORDINARY_WAY], ids=["short", "ordinary"])
def test_each_request_is_a_line(way: dict[str, str], owner: Actor, lines: Lines) -> None:
    APIKey.objects.filter(pk=owner.key.pk).update(last_used_at=timezone.now())
    answer = owner.by_key.get("/api/v1/tasks/", headers={"X-Request-ID": "walk-1", **way})
    assert answer.status_code == 200
    line = access(lines())
    assert line.pop("duration_ms") > 0
    assert line.pop("time").endswith("Z")
    assert line.pop("message").startswith("GET /api/v1/tasks/ 200 ")
    assert line == {
        "level": "INFO",
        "logger": "muster.access",
        "request_id": "walk-1",
        "organization": str(owner.organization.pk),
        "key_prefix": owner.key.prefix,
        "method": "GET",
        "route": "/api/v1/tasks/",
        "status": 200,
    }


def test_a_write_by_the_short_way_names_its_organization(owner: Actor, lines: Lines) -> None:
    APIKey.objects.filter(pk=owner.key.pk).update(last_used_at=timezone.now())
    address = "/api/v1/metrics/"
    body = {"name": "loss", "metric_type": "gauge", "value": 1, "timestamp": timezone.now().isoformat()}
    assert owner.by_key.post(address, body).status_code == 201
    assert access(lines())["organization"] == str(owner.organization.pk)


def test_a_session_s_line_names_the_organization(owner: Actor, lines: Lines) -> None:
    owner.client.get("/api/v1/tasks/")
    line = access(lines())
    assert line["organization"] == str(owner.organization.pk)
    assert "key_prefix" not in line


def test_query_strings_stay_out(owner: Actor, lines: Lines) -> None:
    owner.by_key.get("/api/v1/tasks/?search=hunter2")
    assert "hunter2" not in json.dumps(access(lines()))


def test_what_is_logged_in_a_request_names_it(anonymous: ApiClient, lines: Lines) -> None:
    anonymous.get("/nothing/here", headers={"X-Request-ID": "walk-2"})
    logging.getLogger("elsewhere").warning("behind it")
    inside, outside = (
        next(each for each in lines() if each["logger"] == name) for name in ("django.request", "elsewhere")
    )
    assert inside["request_id"] == "walk-2"
    assert "request_id" not in outside


@pytest.mark.django_db
def test_the_line_can_be_switched_off(settings: Any, lines: Lines) -> None:
    settings.ACCESS_LOG = False
    ApiClient().get("/health/live")
    assert lines() == []


def logged(formatter: logging.Formatter, message: str, *args: object, **more: Any) -> str:
    record = logging.getLogger("some").makeRecord("some", logging.INFO, "f", 1, message, args, None, **more)
    RequestFilter().filter(record)
    return formatter.format(record)


@pytest.mark.parametrize("text", ["two\nlines", "\ud800 alone", "“quoted” \x00 \x1b[31m", "{braces} %s"])
def test_a_line_is_one_line_of_json_whatever_it_tells(text: str) -> None:
    line = logged(JSONFormatter(), "%s", text)
    assert "\n" not in line
    assert json.loads(line)["message"] == text.replace("\ud800", "\\ud800")


def test_what_callers_attach_to_a_record_stays_out() -> None:
    line = logged(JSONFormatter(), "x", extra={"request": "hunter2", "password": "hunter2"})
    assert "hunter2" not in line


def test_plain_lines_end_with_the_request_s_id() -> None:
    token = current.set(RequestNames("walk-3"))
    try:
        assert logged(PlainFormatter(), "hello").endswith("INFO some: hello [walk-3]")
    finally:
        current.reset(token)
    assert logged(PlainFormatter(), "hello").endswith("INFO some: hello")


# --- Statements ------------------------------------------------------------------------------------


def test_slow_statements_are_logged_without_their_values(db: None, caplog: pytest.LogCaptureFixture) -> None:
    quick = connections["default"]
    watched = type(quick)({**quick.settings_dict, "SLOW_SECONDS": 0.5}, alias="default")
    with caplog.at_level(logging.WARNING, logger="muster.sql"), watched.cursor() as cursor:
        cursor.execute("SELECT %s", ["hunter2"])
        assert caplog.messages == []
        began = time.perf_counter()
        cursor.execute("SELECT pg_sleep(0.51), %s", ["hunter2"])
        took = (time.perf_counter() - began) * 1000
    watched.close()
    [message] = caplog.messages
    assert message.endswith(" ms: SELECT pg_sleep(0.51), %s")
    assert 510 <= float(message.split()[2]) <= round(took)


def test_a_refused_row_is_not_in_the_error(owner: Actor) -> None:
    with pytest.raises(IntegrityError) as caught, connection.cursor() as cursor:
        cursor.execute("UPDATE core_user SET password = 'hunter2', email = NULL WHERE id = %s", [owner.user.pk])
    told = [str(caught.value), repr(caught.value), str(caught.value.__cause__)]
    assert not any("hunter2" in each for each in told), told
    assert "email" in told[0]
    assert caught.value.__cause__.diag.column_name == "email"  # type: ignore[union-attr]

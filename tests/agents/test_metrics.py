"""Metrics over HTTP: writing one and many, lists, and series."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Func, IntegerField
from django.test.utils import CaptureQueriesContext

from agents.models import MetricSnapshot
from agents.models.metrics import Bucket
from agents.services import metrics
from core.models import AuditEvent, Organization, Scope
from tests.factories.agents.evidence import MetricSnapshotFactory
from tests.factories.agents.work import TaskFactory, TaskRunFactory
from tests.kit.cast import Actor

pytestmark = pytest.mark.django_db

METRICS = "/api/v1/metrics/"
SERIES = "/api/v1/metrics/series/"
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def at(minutes: float, value: float = 1, **fields: Any) -> MetricSnapshot:
    """Make a value of ours, so many minutes after noon."""
    organization = Organization.objects.get(slug="acme")
    return MetricSnapshotFactory(
        organization=organization, timestamp=NOON + timedelta(minutes=minutes), value=value, **fields
    )


# --- Writing -----------------------------------------------------------------------------------------


def test_a_metric_is_written(teammate: Actor) -> None:
    run = TaskRunFactory(organization=teammate.organization)
    body = {
        "name": "tokens",
        "metric_type": "counter",
        "value": 12.5,
        "unit": "token",
        "labels": {"model": "opus"},
        "timestamp": "2026-03-04T12:00:00Z",
        "task_run": str(run.pk),
    }
    answer = teammate.by_key.post(METRICS, body)
    assert answer.status_code == 201, answer.json()
    written = answer.json()
    assert written.items() >= (body | {"task": str(run.task_id), "timestamp": written["timestamp"]}).items()
    assert datetime.fromisoformat(written["timestamp"]) == NOON
    assert teammate.by_key.get(answer["Location"]).json() == written
    assert not AuditEvent.objects.filter(event_type__startswith="metric").exists()


def test_a_metric_is_of_now_unless_it_says_when(teammate: Actor) -> None:
    written = teammate.by_key.post(METRICS, {"name": "tokens", "value": 1}).json()
    assert abs(datetime.fromisoformat(written["timestamp"]) - datetime.now(tz=UTC)) < timedelta(seconds=10)
    assert written["metric_type"] == "gauge"


def test_a_thousand_metrics_are_written_by_one_request_in_few_queries(teammate: Actor) -> None:
    runs = [TaskRunFactory(organization=teammate.organization) for _ in range(20)]
    rows = [
        {"name": "latency", "value": n, "task_run": str(runs[n % 20].pk), "task": str(runs[n % 20].task_id)}
        for n in range(1000)
    ]
    teammate.by_key.get(METRICS)  # notes the use of the key
    with CaptureQueriesContext(connection) as queries:
        answer = teammate.by_key.post(METRICS, rows)
    assert answer.status_code == 201
    assert [row["value"] for row in answer.json()] == list(range(1000))
    assert MetricSnapshot.objects.count() == 1000
    statements = [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(statements) <= 6, statements  # the key, tasks, runs, the insert, the answer


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"value": None}, "value"),
        ({"value": "NaN"}, "value"),
        ({"value": "-inf"}, "value"),
        ({"name": ""}, "name"),
        ({"metric_type": "rate"}, "metric_type"),
        ({"labels": ["a"]}, "labels"),
        ({"labels": {"a": "\0"}}, "labels.a"),
        ({"task": "nonsense"}, "task"),
        ({"task_run": "00000000-0000-7000-8000-000000000000"}, "task_run"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_one_wrong_metric_keeps_all_out_and_is_named_by_position(
    wrong: dict[str, Any], field: str, teammate: Actor, writes_nothing: Callable[[], Any]
) -> None:
    good = {"name": "latency", "value": 1}
    with writes_nothing():
        alone = teammate.by_key.post(METRICS, good | wrong)
        answer = teammate.by_key.post(METRICS, [good, good, good | wrong])
    assert alone.status_code == answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["field"] == f"2.{field}"


def test_a_run_of_another_task_is_refused_by_position(teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    run = TaskRunFactory(organization=teammate.organization)
    task = TaskFactory(organization=teammate.organization)
    rows = [{"name": "x", "value": 1}, {"name": "x", "value": 1, "task": str(task.pk), "task_run": str(run.pk)}]
    with writes_nothing():
        answer = teammate.by_key.post(METRICS, rows)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["1.task_run"]


def test_another_organizations_task_is_none(
    teammate: Actor, other_organization: Organization, writes_nothing: Callable[[], Any]
) -> None:
    task = TaskFactory(organization=other_organization)
    with writes_nothing():
        answer = teammate.by_key.post(METRICS, [{"name": "x", "value": 1, "task": str(task.pk)}])
    assert answer.json()["errors"] == [
        {"field": "0.task", "code": "does_not_exist", "detail": f'Invalid pk "{task.pk}" - object does not exist.'}
    ]


@pytest.mark.parametrize("count", [0, 1001])
def test_an_array_has_one_to_a_thousand_metrics(count: int, teammate: Actor, writes_nothing: Callable[[], Any]) -> None:
    with writes_nothing():
        assert teammate.by_key.post(METRICS, [{"name": "x", "value": 1}] * count).status_code == 400


def test_viewers_and_reading_keys_write_nothing(viewer: Actor, owner: Actor, writes_nothing: Callable[[], Any]) -> None:
    clients = (viewer.client, viewer.by_key, owner.with_scopes([Scope.AGENTS_READ]))
    with writes_nothing():
        for client in clients:
            for body in ({"name": "x", "value": 1}, [{"name": "x", "value": 1}]):
                assert client.post(METRICS, body).status_code == 403


def test_a_metric_never_changes_over_http(owner: Actor, writes_nothing: Callable[[], Any]) -> None:
    metric = MetricSnapshotFactory(organization=owner.organization)
    with writes_nothing():
        assert owner.by_key.patch(f"{METRICS}{metric.pk}/", {"value": 2}).status_code == 405
        assert owner.by_key.delete(f"{METRICS}{metric.pk}/").status_code == 405


# --- Lists -------------------------------------------------------------------------------------------


def test_a_list_is_filtered_and_newest_first(viewer: Actor) -> None:
    run = TaskRunFactory(organization=viewer.organization)
    first = at(0, name="a", labels={"region": "eu", "n": 1})
    second = at(1, name="b", metric_type="counter", task_run=run)
    third = at(2, name="a", labels={"region": "us"})

    def found(**query: Any) -> list[str]:
        answer = viewer.by_key.get(METRICS, query)
        assert answer.status_code == 200, answer.json()
        return [row["id"] for row in answer.json()["results"]]

    one, two, three = str(first.pk), str(second.pk), str(third.pk)
    assert found() == [three, two, one]
    assert found(ordering="timestamp") == [one, two, three]
    assert found(name="a") == [three, one]
    assert found(name="a,b") == [three, two, one]
    assert found(metric_type="counter") == [two]
    assert found(task=run.task_id) == found(task_run=run.pk) == [two]
    assert found(labels='{"region": "eu"}') == [one]
    assert found(timestamp_after="2026-03-04T12:01:00Z") == [three, two]
    assert found(timestamp_before="2026-03-04T12:00:30Z") == [one]
    assert viewer.by_key.get(METRICS, {"labels": "["}).status_code == 400
    assert viewer.by_key.get(METRICS, {"unit": "s"}).status_code == 400


# --- Series ------------------------------------------------------------------------------------------


def series(actor: Actor, **query: Any) -> list[dict[str, Any]]:
    """Return the series from noon to midnight."""
    span = {"name": "latency", "from": "2026-03-04T12:00:00Z", "to": "2026-03-05T00:00:00Z"}
    answer = actor.by_key.get(SERIES, span | query)
    assert answer.status_code == 200, answer.json()
    found: list[dict[str, Any]] = answer.json()["series"]
    for each in found:
        for point in each["points"]:
            point["time"] = point["time"][11:16]
    return found


def test_a_series_has_the_statistics_of_each_bucket(viewer: Actor) -> None:
    for n in range(1, 101):
        at(n / 10, n)
    at(75, 7)
    at(1, 1000, name="other")
    at(-1, 1000)
    at(720, 1000)
    [found] = series(viewer)
    assert found["label"] is None
    assert found["points"] == [
        {
            "time": "12:00",
            "min": 1,
            "max": 100,
            "mean": 50.5,
            "sum": 5050,
            "count": 100,
            "p50": 50.5,
            "p95": pytest.approx(95.05),
            "p99": pytest.approx(99.01),
        },
        {"time": "13:00", "min": 7, "max": 7, "mean": 7, "sum": 7, "count": 1, "p50": 7, "p95": 7, "p99": 7},
    ]


@pytest.mark.parametrize(
    ("agg", "value"),
    [("min", 1), ("max", 4), ("mean", 2.5), ("sum", 10), ("count", 4), ("p50", 2.5), ("p95", 3.85), ("p99", 3.97)],
)
def test_a_series_can_be_of_one_statistic(agg: str, value: float, viewer: Actor) -> None:
    for n in range(1, 5):
        at(n, n)
    assert series(viewer, agg=agg) == [{"label": None, "points": [{"time": "12:00", "value": pytest.approx(value)}]}]


@pytest.mark.parametrize(
    ("bucket", "times"),
    [
        ("30s", ["12:00", "12:00", "12:07", "13:00"]),
        ("1m", ["12:00", "12:07", "13:00"]),
        ("5m", ["12:00", "12:05", "13:00"]),
        ("1h", ["12:00", "13:00"]),
        ("6h", ["12:00"]),
        ("1d", ["00:00"]),
        ("1w", ["00:00"]),
    ],
)
def test_buckets_begin_where_clocks_do(bucket: str, times: list[str], viewer: Actor) -> None:
    for minutes in (0.1, 0.6, 7, 60):
        at(minutes)
    [found] = series(viewer, bucket=bucket, agg="count")
    assert [point["time"] for point in found["points"]] == times


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York"])
def test_a_day_is_one_of_utc_whatever_the_zone_of_the_session(zone: str, viewer: Actor) -> None:
    at(0)
    # As a number, since Django takes times for those of a session in UTC.
    begin = Func(Bucket(timedelta(days=1), "timestamp"), template="EXTRACT(EPOCH FROM %(expressions)s)::int")
    begin.output_field = IntegerField()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL timezone = %s", [zone])
        [seconds] = MetricSnapshot.objects.values_list(begin, flat=True)
        cursor.execute("SET LOCAL timezone = 'UTC'")
    assert seconds == NOON.replace(hour=0).timestamp()


def test_a_week_begins_on_monday(viewer: Actor) -> None:
    at(0)  # a Wednesday
    answer = viewer.by_key.get(SERIES, {"name": "latency", "bucket": "1w", "from": "2026-03-01T00:00:00Z"})
    [[point]] = [each["points"] for each in answer.json()["series"]]
    assert point["time"].startswith("2026-03-02T00:00")


@pytest.mark.parametrize("key", ["region", "0", "a.b", "it's %s"])
def test_a_series_for_each_value_of_a_label(key: str, viewer: Actor) -> None:
    at(0, 1, labels={key: "eu"})
    at(61, 2, labels={key: "eu"})
    at(0, 3, labels={key: 7})
    at(0, 4)
    assert series(viewer, label=key, agg="sum") == [
        {"label": "7", "points": [{"time": "12:00", "value": 3}]},
        {"label": "eu", "points": [{"time": "12:00", "value": 1}, {"time": "13:00", "value": 2}]},
        {"label": None, "points": [{"time": "12:00", "value": 4}]},
    ]


def test_a_series_can_be_filtered(viewer: Actor) -> None:
    run = TaskRunFactory(organization=viewer.organization)
    at(0, 1, labels={"region": "eu", "model": "opus"})
    at(0, 2, labels={"region": "us"})
    at(0, 4, task_run=run)
    at(0, 8, metric_type="counter")
    for query, total in (
        ({"labels": '{"region": "eu"}'}, 1),
        ({"task": run.task_id}, 4),
        ({"task_run": run.pk}, 4),
        ({"metric_type": "counter"}, 8),
        ({}, 15),
    ):
        [found] = series(viewer, agg="sum", **query)
        assert found["points"] == [{"time": "12:00", "value": total}]
    assert series(viewer, agg="sum", labels='{"region": "mars"}') == []


def test_a_series_is_one_statement(viewer: Actor) -> None:
    at(0)
    viewer.by_key.get(METRICS)
    with CaptureQueriesContext(connection) as queries:
        series(viewer, label="region")
    assert len(queries) == 2, [query["sql"] for query in queries]  # the key, and the series


def test_the_last_day_is_asked_for_unless_told_otherwise(viewer: Actor) -> None:
    MetricSnapshotFactory(organization=viewer.organization, timestamp=datetime.now(tz=UTC) - timedelta(hours=23))
    MetricSnapshotFactory(organization=viewer.organization, timestamp=datetime.now(tz=UTC) - timedelta(hours=25))
    answer = viewer.by_key.get(SERIES, {"name": "latency", "agg": "count", "bucket": "1w"}).json()
    assert sum(point["value"] for each in answer["series"] for point in each["points"]) == 1
    assert (answer["name"], answer["bucket"], answer["agg"]) == ("latency", "1w", "count")
    assert datetime.fromisoformat(answer["to"]) - datetime.fromisoformat(answer["from"]) == timedelta(days=1)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"name": ""}, "name"),
        ({"bucket": "1"}, "bucket"),
        ({"bucket": "0h"}, "bucket"),
        ({"bucket": "1 month"}, "bucket"),
        ({"bucket": "-1h"}, "bucket"),
        ({"bucket": "1s"}, "bucket"),
        ({"agg": "p42"}, "agg"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-03-05T00:00:00Z"}, "from"),
        ({"labels": "[]"}, "labels"),
        ({"labels": '{"a": "\\u0000"}'}, "labels"),
        ({"task": "x"}, "task"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_question_is_refused(query: dict[str, str], field: str, viewer: Actor) -> None:
    span = {"name": "latency", "from": "2026-03-04T12:00:00Z", "to": "2026-03-05T00:00:00Z"}
    answer = viewer.by_key.get(SERIES, span | query)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_buckets_and_points_are_bounded(viewer: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    span = {"name": "latency", "from": "2026-03-04T00:00:00Z", "to": "2026-03-05T09:20:00Z", "bucket": "1m"}
    assert viewer.by_key.get(SERIES, span).status_code == 200  # 2,000 minutes
    assert viewer.by_key.get(SERIES, span | {"to": "2026-03-05T09:20:01Z"}).status_code == 400
    for number in range(4):
        at(0, labels={"host": str(number)})
    monkeypatch.setattr(metrics, "MAX_POINTS", 3)
    assert viewer.by_key.get(SERIES, span).status_code == 200
    refused = viewer.by_key.get(SERIES, span | {"label": "host"})
    assert refused.status_code == 400
    assert "more than 3 points" in refused.json()["detail"]


def test_a_series_has_only_our_own_values(viewer: Actor, stranger: Actor, customer: Actor) -> None:
    MetricSnapshotFactory(organization=stranger.organization, timestamp=NOON, value=5)
    assert series(viewer) == []
    assert series(stranger, agg="sum") == [{"label": None, "points": [{"time": "12:00", "value": 5}]}]
    assert customer.by_key.get(SERIES, {"name": "latency"}).status_code == 403

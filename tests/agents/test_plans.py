"""Lists, filters and searches of agents' records are quick on many rows: the plans of the statements that views send.

Every list, every order, every filter, found by reflection, is asked for over HTTP with values that are common, rare and
nowhere; each statement is then run under EXPLAIN. ``PLAN_SCALE=1`` does it on 1,000,000 metrics and 200,000 tasks,
and prints the slowest.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import django_filters
import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models, transaction
from django.db.models import Count
from django.test.utils import CaptureQueriesContext

from agents import models as records
from agents.api.filters.executions import SpanFilter
from core.api.filters import HexFilter, JSONContainsFilter, SearchFilter
from core.models import Role
from tests.factories.core import OrganizationFactory
from tests.kit.cast import Actor, make_actor
from tests.kit.client import ORDINARY_WAY
from tests.kit.plans import Filling, Plan, fill, identifier, plan_of
from tests.kit.reflection import Route, list_routes

pytestmark = [pytest.mark.xdist_group("plans"), pytest.mark.django_db]

SCALE = float(os.environ.get("PLAN_SCALE", "0.1"))
MOST_MILLISECONDS = 150  # on a machine that may be slow and busy
BIG = 10_000  # rows; a smaller table may well be read from end to end
TASKS = int(200_000 * SCALE) // 10 * 10
METRICS = 5 * TASKS
STATUS = "(ARRAY['pending', 'pending', 'running', 'failed', 'cancelled'])[1 + n / 10 % 40]"
TIME = "now() - n * interval '20 seconds'"
DIGEST = "encode(sha256(n::text::bytea), 'hex')"

ROUTES = [route for route in list_routes() if route.viewset and route.viewset.__module__.startswith("agents.")]

slowest: list[Plan] = []


def of_status(column: str, *statuses: str) -> str:
    """Return the SQL of a time in ``column`` that only rows of these statuses have."""
    words = ", ".join(f"'{status}'" for status in statuses)
    return f"CASE WHEN coalesce({STATUS}, 'completed') IN ({words}) THEN {TIME} END"


PARENT = identifier(records.AgentExecution, "n / 50 * 10 + n % 10")
SPAN = {
    "status": f"coalesce({STATUS}, 'completed')",
    "trace_id": "decode(lpad(to_hex(n / 80), 32, '0'), 'hex')",
    "span_id": "decode(lpad(to_hex(n), 16, '0'), 'hex')",
    "parent_span_id": "NULL",
    "session_id": "CASE WHEN n % 3 = 0 THEN 'session ' || n / 100 ELSE '' END",
    "correlation_id": "CASE WHEN n % 7 = 0 THEN 'correlation ' || n ELSE '' END",
    "started_at": f"CASE WHEN coalesce({STATUS}, 'completed') <> 'pending' THEN {TIME} END",
    "completed_at": of_status("completed_at", "completed", "failed", "cancelled"),
    "attributes": "'{}'",
}
FILLINGS = [
    Filling(
        records.RoundTable,
        TASKS,
        {
            "result_id": "'result ' || n",
            "criteria": "'{}'",
            "status": "(ARRAY['pending', 'judged', 'cancelled'])[1 + n / 10 % 3]",
            "judged_at": f"CASE WHEN n / 10 % 3 = 1 THEN {TIME} END",
            "winner_id": "NULL",
            "consensus": "NULL",
        },
    ),
    Filling(records.RoundTableEntry, 2 * TASKS, {"scores": "'{}'", "rank": "NULL", "model": "'model ' || n % 500"}),
    Filling(records.Squad, 100, {"name": "'Squad ' || n"}),
    Filling(
        records.Agent,
        5_000,
        {
            "name": "'Agent ' || md5(n::text)",
            "kind": "'llm'",
            "channel": "''",
            "headless": "NULL",
            "deleted_at": "NULL",
        },
    ),
    Filling(
        records.SquadMember,
        1_000,
        {"role": "(ARRAY['developer', 'tester', 'reviewer', 'designer'])[1 + n / 1000 % 4]"},
    ),
    Filling(records.Project, 5_000, {"name": "'Project ' || md5(n::text)", "deleted_at": "NULL"}),
    Filling(
        records.ProjectContext,
        1_000,
        {"project_id": identifier(records.Project, "n % 500"), "version": "1 + n / 500"},
    ),
    Filling(
        records.Modification,
        1_000,
        {"status": "'pending'", "review_comment": "''", "reviewed_by_id": "NULL", "error_message": "''"},
    ),
    Filling(records.Template, 1_000, {"version": "'1.' || n", "complexity": "'simple'"}),
    Filling(
        records.Task,
        TASKS,
        {
            "name": "'Task ' || md5(n::text)",
            "description": "'Port ' || md5((n / 5)::text) || ' to ' || md5((n / 9)::text)",
            "task_type": "(ARRAY['review', 'build', 'test', 'research'])[1 + n / 7 % 4]",
            "status": f"coalesce({STATUS}, 'completed')",
            "config": "'{}'",
            "started_at": of_status("started_at", "running", "completed", "failed", "cancelled"),
            "completed_at": of_status("completed_at", "completed", "failed", "cancelled"),
            "due_at": f"CASE WHEN n % 3 = 0 THEN {TIME} + interval '30 days' END",
            "max_rounds": "10",
            "memory_size": "100",
            "claimed_by_id": "NULL",
            "lease_token": "NULL",
        },
    ),
    Filling(
        records.TaskRun,
        TASKS,
        {
            "run_number": "1",
            "status": f"coalesce({STATUS}, 'completed')",
            "started_at": of_status("started_at", "running", "completed", "failed", "cancelled"),
            "completed_at": of_status("completed_at", "completed", "failed", "cancelled"),
        },
    ),
    Filling(
        records.AgentMessage,
        TASKS,
        {"recipient_id": "NULL", "thread": "('00000000-0000-7000-8000-' || lpad(to_hex(n / 20), 12, '0'))::uuid"},
    ),
    Filling(
        records.MetricSnapshot,
        METRICS,
        {
            "name": "'metric ' || n / 3 % 20",
            "metric_type": "(ARRAY['gauge', 'counter', 'histogram'])[1 + n / 3 % 3]",
            "unit": "'s'",
            "timestamp": "now() - n * interval '3 seconds'",
        },
    ),
    Filling(records.StoredContent, TASKS // 10, {"sha256": DIGEST, "size": "n", "location": "'artifacts/' || n"}),
    Filling(
        records.Artifact,
        TASKS // 2,
        {
            "text": "n::text",
            "stored_id": "NULL",
            "size": "octet_length(n::text)",
            "sha256": DIGEST,
            "content_type": "'text/plain'",
        },
    ),
    Filling(
        records.Feedback,
        TASKS // 2,
        {
            "message_id": "NULL",
            "execution_id": "NULL",
            "round_table_entry_id": "NULL",
            "rating": "1 + n / 3 % 5",
            "thumbs_up": "n / 3 % 2 = 0",
        },
    ),
    Filling(
        records.AgentExecution,
        TASKS,
        SPAN
        | {
            "execution_id": "'execution ' || n",
            "agent_id": f"CASE WHEN n % 3 = 0 THEN {identifier(records.Agent, 'n % 5000')} END",
            "parent_execution_id": f"CASE WHEN n % 5 = 0 AND n > 9 THEN {PARENT} END",
            "agent_type": "(ARRAY['agent', 'chain', 'step'])[1 + n / 3 % 3]",
            "agent_name": "'Agent ' || n / 3 % 200",
            "user_name": "CASE WHEN n % 4 = 0 THEN 'user ' || n / 50 ELSE '' END",
            "usage_below": "false",
        },
    ),
    Filling(
        records.ModelCall,
        TASKS,
        SPAN
        | {
            "provider": "(ARRAY['openai', 'anthropic'])[1 + n / 3 % 2]",
            "request_model": "'model ' || n / 3 % 20",
            "response_model": "''",
            "pricing": "'no_usage'",
            "usage_below": "false",
        },
    ),
    Filling(records.ToolExecution, TASKS, SPAN | {"tool_name": "'tool ' || n / 3 % 50"}),
    Filling(
        records.Trace,
        TASKS,
        {
            "trace_id": "decode(md5(n::text), 'hex')",
            "root_name": "'invoke_agent ' || n % 7",
            "root_agent_name": "'agent ' || n / 10 % 40",
            "root_status": "(ARRAY['completed', 'completed', 'failed', 'timeout'])[1 + n / 10 % 4]",
            "session_id": "'session ' || n / 30",
            "started_at": TIME,
            "completed_at": f"{TIME} + n % 700 * interval '0.1 second'",
            "root_started_at": TIME,
            "spans": "8",
            "errors": "CASE WHEN n / 10 % 40 = 3 THEN 1 ELSE 0 END",
            "cost": "n % 1009 / 200.0",
        },
    ),
    Filling(records.LearningInsight, TASKS // 10, {"times_applied": "0"}),
]
FILLED = {filling.model: filling.count for filling in FILLINGS}


@pytest.fixture(scope="module")
def owner(django_db_setup: None, django_db_blocker: Any) -> Iterator[Actor]:
    """The owner of an organization that has most of the rows; all of them are gone afterwards."""
    with django_db_blocker.unblock():
        with transaction.atomic():
            actor = make_actor(OrganizationFactory(name="Acme", slug="acme"), Role.OWNER, "owner")
            fill(FILLINGS, actor.organization, OrganizationFactory(name="Globex", slug="globex"), actor.user)
            yield actor
            transaction.set_rollback(True)
        with connection.cursor() as cursor:
            for model in FILLED:
                cursor.execute(f"VACUUM ANALYZE {model._meta.db_table}")


# --- What is asked -----------------------------------------------------------------------------------


def common_and_rare(rows: models.QuerySet, path: str) -> list[str]:
    """Return the most and the least frequent value of a column."""
    counted = rows.order_by().exclude(**{f"{path}__isnull": True}).values(path).annotate(rows=Count("pk"))
    found = [each[path] for each in (*counted.order_by("-rows")[:1], *counted.order_by("rows")[:1])]
    return [str(value[-1] if isinstance(value, list) else value) for value in found]


def field_at(model: Any, path: str) -> Any:
    """Return the field that a lookup leads to."""
    *way, last = path.split("__")
    for step in way:
        model = model._meta.get_field(step).related_model
    return next(field for field in model._meta.concrete_fields if last in (field.name, field.attname))


def values_for(name: str, each: Any, rows: models.QuerySet) -> Iterator[dict[str, str]]:
    """Yield the parameters by which a filter is tried: with a common value, a rare one, and one that is nowhere."""
    now = datetime.now(tz=UTC)
    if isinstance(each, SearchFilter):
        digest = "c4ca4238a0b923820dcc509a6f75849b"  # of "1"
        yield from ({name: text} for text in ("task", digest[:8], f"port {digest[:6]}", "nowhere", "po", "zz", "%_"))
    elif isinstance(each, JSONContainsFilter):
        yield from ({name: json.dumps(part)} for part in ({"shard": "3"}, {"host": "17"}, {"host": "nowhere"}))
    elif isinstance(each, django_filters.IsoDateTimeFromToRangeFilter):
        for days in (0, 1, 40):
            yield {f"{name}_after": (now - timedelta(days=days)).isoformat()}
            yield {f"{name}_before": (now - timedelta(days=days)).isoformat()}
        yield {f"{name}_after": (now - timedelta(days=3)).isoformat(), f"{name}_before": now.isoformat()}
        yield {f"{name}_after": (now + timedelta(days=900)).isoformat()}
    elif isinstance(each, django_filters.RangeFilter):
        yield from ({f"{name}_{end}": value} for end in ("min", "max") for value in ("0", "1", "5", "1000"))
    elif isinstance(each, django_filters.BooleanFilter):
        yield from ({name: value} for value in ("true", "false"))
    elif isinstance(each, HexFilter):
        yield from ({name: value} for value in (*common_and_rare(rows, name), "f" * 2 * each.extra["size"]))
    elif isinstance(each, SpanFilter):
        yield from ({name: f"{12:032x}-{number:016x}"} for number in (12 * 80 + 1, 0))
    else:
        path = each.field_name or name
        field = field_at(rows.model, path)
        nowhere = {"UUIDField": str(uuid4()), "CharField": "nowhere"}.get(type(each.field).__name__, "0")
        if field.choices and not isinstance(field, ArrayField):
            yield from ({name: value} for value, _ in field.flatchoices)
            return
        yield from ({name: value} for value in (*common_and_rare(rows, path), nowhere))


def questions(route: Route, actor: Actor) -> Iterator[dict[str, str]]:
    """Yield what a list is asked for: its pages, its orders, its filters."""
    viewset: Any = route.viewset
    yield {}
    yield {"limit": "200"}
    for name in {*viewset.ordering_fields, *(term.lstrip("-") for term in viewset.ordering)}:
        for term in (name, f"-{name}"):
            yield {"ordering": term}
            following = actor.by_key.get(route.path(), {"ordering": term, "limit": "200"}).json()["next"]
            if following:
                yield {"ordering": term, "cursor": following.partition("cursor=")[2].partition("&")[0]}
    rows = viewset.queryset.for_organization(actor.organization)
    filterset = getattr(viewset, "filterset_class", None)
    for name, each in (filterset.base_filters if filterset else {}).items():
        yield from values_for(name, each, rows)


def statements(route: Route, actor: Actor, question: dict[str, str]) -> list[str]:
    """Return the statements about the records that answering sends, by the ordinary way and by the short one."""
    table = route.viewset.queryset.model._meta.db_table  # type: ignore[union-attr]
    with CaptureQueriesContext(connection) as queries:
        for headers in (ORDINARY_WAY, {}, {}):
            answer = actor.by_key.get(route.path(), question, headers=headers)
            assert answer.status_code == 200, (question, answer.json())
    asked = (query["sql"].strip() for query in queries)
    return [sql for sql in dict.fromkeys(asked) if sql.startswith(("SELECT", "WITH")) and f'"{table}"' in sql]


# --- What is expected --------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_list_is_quick_on_many_rows(route: Route, owner: Actor, capsys: pytest.CaptureFixture[str]) -> None:
    big = {model._meta.db_table for model, count in FILLED.items() if count >= BIG}
    asked, faults = 0, []
    for question in questions(route, owner):
        asked += 1
        found = statements(route, owner, question)
        assert found, question
        for plan in (plan_of(sql, limit=MOST_MILLISECONDS / 2) for sql in found):
            slowest.append(plan)
            if plan.milliseconds > MOST_MILLISECONDS:
                faults.append(f"{question}: {plan.milliseconds:.0f} ms: {plan.tree}")
            if read := big & set(plan.scanned):
                faults.append(f"{question}: reads all of {', '.join(read)}: {plan.tree}")
    if os.environ.get("PLAN_SCALE"):
        slowest.sort(key=lambda plan: -plan.milliseconds)
        with capsys.disabled():
            print(f"\n{route}: {asked} questions; the slowest took {slowest[0].milliseconds:.1f} ms: {slowest[0].tree}")
    slowest.clear()
    assert not faults, "\n".join(faults)


def test_the_plans_tell_a_bad_one(owner: Actor) -> None:
    """The control: a filter that no index serves."""
    plan = plan_of("SELECT * FROM agents_metricsnapshot WHERE unit = 'nowhere'")
    assert "agents_metricsnapshot" in plan.scanned

"""Spans that are reported at once: each stored once, linked, and counted, whoever writes meanwhile."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from agents.models import AgentExecution, ModelCall, ToolExecution, Trace
from agents.sql import turns
from agents.telemetry.spans import Span
from agents.telemetry.storage import store
from core.models import Organization
from tests.agents.spans_kit import assert_each_is_linked
from tests.factories.core import OrganizationFactory
from tests.kit.races import Meeting, errors, race

from .recount import assert_kept
from .test_storage import assert_story, call, span, story

pytestmark = pytest.mark.django_db(transaction=True)


def run(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    """Execute SQL and return the rows; what is deferred stays so."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


SPAN_MODELS = (AgentExecution, ModelCall, ToolExecution)


@pytest.fixture
def organization() -> Organization:
    return OrganizationFactory()


@contextmanager
def no_turns() -> Iterator[None]:
    """Let nobody who reports wait for others who do."""
    guards = (turns.TAKE_TRACES, turns.TAKE_STATISTICS)
    run(
        "CREATE OR REPLACE FUNCTION agents_take_traces(organization uuid, traces bytea[]) RETURNS void BEGIN ATOMIC END"
    )
    run("CREATE OR REPLACE FUNCTION agents_take_statistics(organizations uuid[]) RETURNS void BEGIN ATOMIC END")
    try:
        yield
    finally:
        for guard in guards:
            run(guard.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))


def report(organization: Organization, spans: list[Span], meeting: Meeting) -> int:
    """Store spans in a transaction that ends when the others have stored theirs, or wait for this one."""
    with transaction.atomic():
        meeting.announce()
        number = store(organization.pk, spans)
        meeting.attend()
    return number


def report_at_once(organization: Organization, *batches: list[Span]) -> list[Exception]:
    """Report batches at once, and return what went wrong."""
    meeting = Meeting(len(batches))
    return errors(race(*(partial(report, organization, batch, meeting) for batch in batches)))


def know_the_agent(organization: Organization) -> None:
    """Have the agent of the story on the roster, so that nobody waits for who makes it."""
    store(organization.pk, [span(1, None, agent_type="agent", agent_name="Ada")])
    AgentExecution.objects.all().delete()


@pytest.mark.parametrize("children_first", [True, False])
@pytest.mark.parametrize("cut", range(1, 5))
def test_two_parts_of_a_trace_at_once_are_linked(organization: Organization, cut: int, children_first: bool) -> None:
    know_the_agent(organization)
    parts = [story()[:cut], story()[cut:]]
    assert report_at_once(organization, *(reversed(parts) if children_first else parts)) == []
    assert_story(organization)


def test_every_span_by_itself_at_once(organization: Organization) -> None:
    know_the_agent(organization)
    assert report_at_once(organization, *([each] for each in story())) == []
    assert_story(organization)


def test_the_same_at_once_is_stored_once(organization: Organization) -> None:
    know_the_agent(organization)
    assert report_at_once(organization, story(), story(), story()) == []
    assert_story(organization)


def test_control_without_turns_the_same_at_once_is_refused(organization: Organization) -> None:
    know_the_agent(organization)
    with no_turns():
        [refused] = report_at_once(organization, story(), story())
    assert isinstance(refused, IntegrityError)


def test_other_traces_wait_only_to_be_counted(organization: Organization) -> None:
    """Two who report other traces both have their rows written before either has counted."""
    written, seen = Meeting(2), Meeting(2)

    def write(number: int) -> None:
        trace = number.to_bytes(16, "big")
        with transaction.atomic():
            written.announce()
            run("SELECT agents_begin_report(%s, %s)", organization.pk, trace)
            run(
                "INSERT INTO agents_toolexecution (id, organization_id, name, status, trace_id, span_id, agent_name,"
                " session_id, correlation_id, error_type, error_message, attributes, tool_name, tool_type, call_id,"
                " permission, started_at, completed_at)"
                " VALUES (muster_uuid7(), %s, 'x', 'completed', %s, '12345678', '', '', '', '', '', '{}', 'search', '',"
                " '', 'allowed', now(), now())",
                *(organization.pk, trace),
            )
            written.attend()
            waits = (  # on this test's database, for what a client waits for
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND cardinality(pg_blocking_pids(pid)) > 0"
            )
            assert run(waits) == [(0,)]
            assert not Trace.objects.exists()
            seen.announce()
            seen.attend()

    assert errors(race(partial(write, 1), partial(write, 2))) == []
    assert Trace.objects.count() == 2
    assert_kept()  # who doesn't ask for it is counted at the commit


def test_what_is_reported_and_changed_in_one_transaction_counts_once(organization: Organization) -> None:
    with transaction.atomic():
        run("SELECT agents_begin_report(%s, %s)", organization.pk, bytes(range(16)))
        store(organization.pk, story())
        run("SELECT agents_begin_report(%s, %s)", organization.pk, bytes(range(16)))
        store(organization.pk, [call(6, 1)])
        ModelCall.objects.filter(name="span 6").update(input_tokens=3)
        ToolExecution.objects.all().delete()
    assert_kept()


def test_rows_that_are_noted_are_counted_before_they_change(organization: Organization) -> None:
    with transaction.atomic():
        store(organization.pk, story())
        run("SELECT set_config('muster.span_turns', 'trace', true)")
        copied = (
            "organization_id, name, status, trace_id, agent_name, session_id, correlation_id, started_at, completed_at,"
            " error_type, error_message, attributes, operation, provider, request_model, response_model, finish_reason,"
            " pricing, input_tokens, cost"
        )
        run(
            f"INSERT INTO agents_modelcall (id, span_id, {copied})"
            f" SELECT muster_uuid7(), '\\x0000000000000007', {copied} FROM agents_modelcall WHERE name = 'span 5'"
        )
        assert run("SELECT count(*) FROM agents_uncounted") == [(1,)]
        run("UPDATE agents_modelcall SET input_tokens = 11 WHERE span_id = '\\x0000000000000007'")
        assert run("SELECT count(*) FROM agents_uncounted") == [(0,)]
    assert ModelCall.objects.count() == 3
    assert_kept()


# --- Many at once ----------------------------------------------------------------------------------


def many_stories(traces: int) -> list[Span]:
    made = []
    for number in range(traces):
        for each in story():
            each.trace_id = number.to_bytes(16, "big")
            made.append(each)
    return made


def hammer(organization: Organization, batches: list[list[Span]]) -> None:
    for batch in batches:
        store(organization.pk, batch)


def edit(organization: Organization, seed: int) -> None:
    """Write as others do: change and add rows one by one, each in its own transaction.

    Only what is linked and named is changed. Whoever changes a row that is being linked at the same moment holds it and
    waits for its turn, while who has the turn waits for the row: PostgreSQL ends one of the two, who tries again.
    """
    chance = random.Random(seed)
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    linked = ModelCall.objects.filter(organization=organization, execution__isnull=False, agent_name="Ada")
    for _ in range(25):
        calls = list(linked.values_list("pk", flat=True)[:200])
        if calls:
            ModelCall.objects.filter(pk=chance.choice(calls)).update(input_tokens=chance.randrange(1_000))
        AgentExecution.objects.create(
            organization=organization, name="by hand", status="completed", started_at=now, completed_at=now
        )


@pytest.mark.parametrize("seed", range(3))
def test_overlapping_reports_and_other_writers(organization: Organization, seed: int) -> None:
    """No deadlock (nobody tries again here), nothing lost or doubled, all links and sums right."""
    chance = random.Random(seed)
    know_the_agent(organization)
    reporters: list[Callable[[], Any]] = []
    for _ in range(3):
        spans = many_stories(40)
        chance.shuffle(spans)
        sizes = iter(lambda: chance.randrange(1, 40), None)
        batches = []
        while spans:
            size = next(sizes)
            batches.append(spans[:size])
            del spans[:size]
        reporters.append(partial(hammer, organization, batches))
    large = [each for each in many_stories(turns.TRACES_LIMIT + 20) if each.span_id[-1] == 1]
    reporters.append(partial(hammer, organization, [large]))
    assert errors(race(*reporters, partial(edit, organization, seed))) == []
    reported = {(each.trace_id, each.span_id) for each in [*many_stories(40), *large]}
    stored = [
        (bytes.fromhex(trace), bytes.fromhex(identity))
        for model in SPAN_MODELS
        for trace, identity in model.objects.exclude(trace_id=None).values_list("trace_id", "span_id")
    ]
    assert sorted(stored) == sorted(reported)
    assert_each_is_linked()
    assert_kept()

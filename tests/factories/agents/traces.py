"""Factories of what follows from spans, as rows on their own. With spans, the database makes these rows itself."""

import secrets
from datetime import UTC, datetime, timedelta

import factory
from factory.django import DjangoModelFactory

from agents.models import SpanKind, SpanStatistic, SpanStatus, Trace, Width
from agents.sql.statistics import BUCKETS
from tests.factories.core import OrganizationFactory


class TraceFactory(DjangoModelFactory):
    """The summary of a trace of one span."""

    class Meta:
        model = Trace

    organization = factory.SubFactory(OrganizationFactory)
    trace_id = factory.LazyFunction(lambda: secrets.token_hex(16))
    root_name = "invoke_agent planner"
    root_agent_name = "planner"
    root_status = SpanStatus.COMPLETED
    has_root = True
    session_id = "session"
    started_at = factory.LazyFunction(lambda: datetime.now(tz=UTC) - timedelta(minutes=1))
    root_started_at = factory.SelfAttribute("started_at")
    completed_at = factory.LazyAttribute(lambda trace: trace.started_at + timedelta(seconds=2))
    spans = 1


class SpanStatisticFactory(DjangoModelFactory):
    """One model call of an hour."""

    class Meta:
        model = SpanStatistic

    organization = factory.SubFactory(OrganizationFactory)
    kind = SpanKind.MODEL_CALL
    dimension = "model"
    value = factory.Sequence(lambda n: f"model-{n}")
    width = Width.HOUR
    start = datetime(2026, 3, 4, 12, tzinfo=UTC)
    count = 1
    durations = factory.LazyFunction(lambda: [0] * 150 + [1] + [0] * (BUCKETS - 151))

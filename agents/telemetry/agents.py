"""Agents by the names that spans give them: one that is named for the first time joins the roster."""

import time
from collections.abc import Iterable, Sequence
from threading import Lock
from uuid import UUID

from django.db import connection, transaction

from agents.models import Agent, Squad, TaskRun
from agents.telemetry.mapping import own_name
from agents.telemetry.spans import Span

REMEMBERED = 60.0  # seconds for which what the database said is believed
LIMIT = 50_000  # names, and agents, remembered a process

# Whoever writes one of them at the moment is let be: it is noted the next time.
SEE = """
    UPDATE agents_agent AS agent SET last_seen_at = seen.at
      FROM (SELECT each.id, told.at
              FROM unnest(%s::uuid[], %s::float[]) AS said (id, seconds)
              CROSS JOIN least(to_timestamp(seconds), now()) AS told (at)
              JOIN agents_agent AS each ON each.id = said.id
             WHERE each.organization_id = %s AND each.deleted_at IS NULL
               AND (each.last_seen_at < told.at OR each.last_seen_at IS NULL)
             ORDER BY each.id FOR NO KEY UPDATE OF each SKIP LOCKED) AS seen
     WHERE agent.id = seen.id
"""

_known: dict[tuple[UUID, str], tuple[float, UUID]] = {}
_seen: dict[UUID, float] = {}
_one_at_a_time = Lock()


def resolve(organization_id: UUID, spans: Sequence[Span]) -> dict[str, UUID]:
    """Return the agents that the spans name, made if need be; take from the spans what the organization hasn't got.

    Only agents proper join the roster: a chain's or a step's name is no agent's, nor is the one of a span that says by
    id whose it is.
    """
    _drop_strangers(organization_id, spans)
    proper = [span for span in spans if span.kind == "execution" and span.agent_type == "agent"]
    if any(not span.agent_name for span in proper):
        _name_by_id(proper)
    names = {span.agent_name for span in proper if span.agent_id is None}
    now = time.monotonic()
    found = {
        name: known[1]
        for name in names
        if (known := _known.get((organization_id, name))) and now - known[0] < REMEMBERED
    }
    if missing := names - set(found):
        fetched = _fetch(organization_id, missing)
        with _one_at_a_time:
            if len(_known) > LIMIT:
                _known.clear()
            _known.update({(organization_id, name): (now, pk) for name, pk in fetched.items()})
        found |= fetched
    _see(organization_id, proper, found, now)
    return found


def _see(organization_id: UUID, spans: Sequence[Span], agents: dict[str, UUID], now: float) -> None:
    """Note when the spans' agents were last at work: to the minute, for each note is a write."""
    ended: dict[UUID, int] = {}
    for span in spans:
        agent = span.agent_id or agents.get(span.agent_name)  # none, if it went while this was asked
        if agent is not None:
            ended[agent] = max(ended.get(agent, 0), span.ended_ns)
    due = [agent for agent in ended if now - _seen.get(agent, -REMEMBERED) >= REMEMBERED]
    if not due:
        return
    with _one_at_a_time:
        if len(_seen) > LIMIT:
            _seen.clear()
        _seen.update(dict.fromkeys(due, now))
    with connection.cursor() as cursor:
        cursor.execute(SEE, [due, [ended[agent] / 1e9 for agent in due], organization_id])


def forget(organization_id: UUID) -> None:
    """Forget an organization's agents: one of them has gone meanwhile."""
    with _one_at_a_time:
        for key in [key for key in _known if key[0] == organization_id]:
            del _known[key]


def _fetch(organization_id: UUID, names: Iterable[str]) -> dict[str, UUID]:
    wanted = sorted(names)
    alive = Agent.objects.for_organization(organization_id).alive().filter(name__in=wanted)
    found = dict(alive.values_list("name", "pk"))
    new = [Agent(organization_id=organization_id, name=name) for name in wanted if name not in found]
    if new:
        with transaction.atomic():
            Agent.objects.bulk_create(new, ignore_conflicts=True)
        found = dict(alive.values_list("name", "pk"))
    return found


def _name_by_id(spans: Sequence[Span]) -> None:
    """Give those that have no name their agent's on the roster, or else their own."""
    nameless = [span for span in spans if not span.agent_name]
    known = dict(Agent.objects.filter(pk__in={span.agent_id for span in nameless}).values_list("pk", "name"))
    for span in nameless:
        span.agent_name = known[span.agent_id] if span.agent_id is not None else own_name(span)


def _drop_strangers(organization_id: UUID, spans: Sequence[Span]) -> None:
    """Take references to what isn't the organization's from the spans: they would make the whole batch be refused."""
    for name, model in (("task_run_id", TaskRun), ("squad_id", Squad), ("agent_id", Agent)):
        given = {getattr(span, name) for span in spans} - {None}
        if not given:
            continue
        rows = model._default_manager.filter(organization_id=organization_id, pk__in=given)
        strangers = given - set(rows.values_list("pk", flat=True))
        for span in spans:
            if getattr(span, name) in strangers:
                setattr(span, name, None)

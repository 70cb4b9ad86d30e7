"""The JSON of what no row of the conventions knew: a span's ``attributes``.

Beside the client's own keys it has ``resource`` (its attributes, at most :data:`RESOURCE_LIMIT` bytes) and
``resource_left_out`` (how many more it had), ``scope`` (the instrumentation's name), ``span_kind`` (unless internal),
``trace_state``, ``events`` and ``links`` that are left, ``evaluations`` (see :mod:`agents.telemetry.evaluations`),
``dropped`` (how many attributes, events and links the client says it dropped) and ``left_out`` (how many of them we
left out: the whole was too large, or they were too many). A client's key of such a name becomes ``attribute.<name>``.
"""

from typing import Any

import orjson

from agents.telemetry import conventions, text, values
from agents.telemetry.events import Told

OURS = frozenset(
    {
        "resource",
        "resource_left_out",
        "scope",
        "span_kind",
        "trace_state",
        "events",
        "links",
        "evaluations",
        "dropped",
        "left_out",
    }
)
RENAMED = "attribute."
"""What goes before a client's key that is one of ours."""

LINKS_LIMIT = 128
"""Links kept: the number that OpenTelemetry's SDKs allow a span by default."""

RESOURCE_LIMIT = 4_096
"""Bytes of a resource's JSON, for it is kept with each of its spans."""

TRACE_STATE_LIMIT = 512
"""Characters of a trace state: what the W3C's «Trace Context» asks everyone to pass on."""

SPAN_KINDS = {2: "server", 3: "client", 4: "producer", 5: "consumer"}  # OTLP's SpanKind, but for internal ones


def resource_json(attributes: dict[str, Any], scope: str) -> bytes:
    """Return the members ``resource`` and ``scope`` as JSON without the braces; empty when there is nothing to say.

    The best known attributes go first, then the others in their order, as far as there is room.
    """
    known = [key for key in conventions.RESOURCE_ATTRIBUTES if key in attributes]
    kept: dict[str, Any] = {}
    size, left_out = len("{}"), 0
    for key in dict.fromkeys([*known, *attributes]):
        value = attributes[key]
        if value is None or value == "":
            continue
        member = {text.name(key, text.KEY_LIMIT): value}
        length = len(text.dumps(member)) - len("{}") + len(",")
        if size + length > RESOURCE_LIMIT:
            left_out += 1
        else:
            kept |= member
            size += length
    said: dict[str, Any] = {"resource": kept} if kept else {}
    if left_out:
        said["resource_left_out"] = left_out
    if scope_name := text.name(scope, 200):
        said["scope"] = scope_name
    return text.dumps(said)[1:-1]


def attributes_json(rest: dict[str, Any], resource: bytes, source: Any, told: Told) -> bytes:
    """Return a span's attributes: ``rest``, what the resource said, and the events and links that are left."""
    if rest and not OURS.isdisjoint(rest):
        rest = {
            f"{RENAMED}{key}" if key in OURS or key.startswith(RENAMED) else key: value for key, value in rest.items()
        }
    if (span_kind := SPAN_KINDS.get(source.kind)) is not None:
        rest["span_kind"] = span_kind
    if source.trace_state:
        rest["trace_state"] = text.name(source.trace_state, TRACE_STATE_LIMIT)
    if told.others:
        rest["events"] = told.others
    if source.links:
        rest["links"] = [_link(link) for link in source.links[:LINKS_LIMIT]]
    dropped = source.dropped_attributes_count + source.dropped_events_count + source.dropped_links_count
    if dropped:
        rest["dropped"] = dropped
    if left_out := told.left_out + max(0, len(source.links) - LINKS_LIMIT):
        rest["left_out"] = left_out
    if not rest:
        return b"{" + resource + b"}"
    rendered = text.dumps(rest)
    if len(rendered) > text.VALUE_LIMIT:
        rendered = _cut(rest)
    return rendered[:-1] + b"," + resource + b"}" if resource else rendered


def _link(link: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"trace_id": link.trace_id[:16].hex(), "span_id": link.span_id[:8].hex()}
    if link.attributes:
        said["attributes"] = values.attributes(link.attributes)
    return said


def _cut(rest: dict[str, Any]) -> bytes:
    """Cut each value that is too large, and leave out those that would make the whole too large."""
    members: list[bytes] = []
    size, left_out = 0, rest.pop("left_out", 0)
    for key, value in rest.items():
        value = text.clean_value(value)
        rendered = orjson.dumps(value)
        if len(rendered) > text.VALUE_LIMIT and type(value) is not str:
            rendered = orjson.dumps(text.cut(rendered.decode()))
        member = orjson.dumps(text.name(key, text.KEY_LIMIT)) + b":" + rendered
        if size + len(member) > text.ATTRIBUTES_LIMIT:
            left_out += 1
        else:
            members.append(member)
            size += len(member) + 1
    if left_out:
        members.append(b'"left_out":%d' % left_out)
    return b"{" + b",".join(members) + b"}"

"""The JSON of what no row of the conventions knew: a span's ``attributes``.

Beside the client's own keys it has ``resource`` (what is worth keeping of it), ``scope`` (the instrumentation's name),
``events`` and ``links`` that are left, ``dropped`` (how many attributes, events and links the client says it dropped)
and ``left_out`` (how many attributes we left out, for the whole was too large). A client's key of such a name is kept
as ``attribute.<name>``.
"""

from typing import Any

import orjson

from agents.telemetry import conventions, text, values

OURS = frozenset({"resource", "scope", "events", "links", "dropped", "left_out"})
LINKS_LIMIT = 128
"""Links kept: the number that OpenTelemetry's SDKs allow a span by default."""

_label = values.label(200)


def resource_json(attributes: dict[str, Any], scope: str) -> bytes:
    """Return the members ``resource`` and ``scope`` as JSON without the braces; empty when there is nothing to say."""
    kept = {key: value for key in conventions.RESOURCE_ATTRIBUTES if (value := _label(attributes.get(key))) is not None}
    said: dict[str, Any] = {"resource": kept} if kept else {}
    if scope_name := text.name(scope, 200):
        said["scope"] = scope_name
    return orjson.dumps(said)[1:-1]


def attributes_json(rest: dict[str, Any], resource: bytes, source: Any, events: list[dict[str, Any]]) -> bytes:
    """Return a span's attributes: ``rest``, what the resource said, and the events and links that are left."""
    if rest and not OURS.isdisjoint(rest):
        rest = {f"attribute.{key}" if key in OURS else key: value for key, value in rest.items()}
    if events:
        rest["events"] = events
    if source.links:
        rest["links"] = [_link(link) for link in source.links[:LINKS_LIMIT]]
    dropped = source.dropped_attributes_count + source.dropped_events_count + source.dropped_links_count
    if dropped:
        rest["dropped"] = dropped
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
    size = left_out = 0
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

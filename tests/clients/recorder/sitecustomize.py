"""Imported by Python itself in the process of an example, by way of PYTHONPATH, before the example's first line.

Every tracer provider that the example makes gets a second way out: each span that ends is written, whatever becomes
of it on the way to Muster, to the file that ``RECORDED_SPANS`` names, a line an ``ExportTraceServiceRequest`` in
OTLP/JSON. And the process reaches nothing but loopback: who tries is refused, and noted in ``RECORDED_OUTSIDERS``.
"""

import base64
import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

SPANS = Path(os.environ["RECORDED_SPANS"])
OUTSIDERS = Path(os.environ["RECORDED_OUTSIDERS"])
HOSTS = {"127.0.0.1", "::1", "localhost", "", None}
ID_FIELDS = {"traceId", "spanId", "parentSpanId"}


class Recorder(SpanExporter):
    """Writes spans to a file as OTLP/JSON."""

    def export(self, spans: Any) -> SpanExportResult:
        request = MessageToDict(encode_spans(spans), use_integers_for_enums=True)
        with SPANS.open("a") as file:
            file.write(json.dumps(hex_ids(request)) + "\n")
        return SpanExportResult.SUCCESS


def hex_ids(value: Any) -> Any:
    """Return the message with ids in hexadecimal, as OTLP/JSON has them, where protobuf's JSON has base64."""
    if isinstance(value, list):
        return [hex_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            name: base64.b64decode(item).hex() if name in ID_FIELDS else hex_ids(item) for name, item in value.items()
        }
    return value


def record(begin: Any) -> Any:
    @functools.wraps(begin)
    def begin_recorded(provider: TracerProvider, *args: Any, **kwargs: Any) -> None:
        begin(provider, *args, **kwargs)
        provider.add_span_processor(SimpleSpanProcessor(Recorder()))

    return begin_recorded


def refuse_outsiders(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in HOSTS:
        with OUTSIDERS.open("a") as file:
            file.write(f"{host}\n")
        raise ConnectionRefusedError(f"{host} is outside")


TracerProvider.__init__ = record(TracerProvider.__init__)  # type: ignore[method-assign]
sys.addaudithook(refuse_outsiders)

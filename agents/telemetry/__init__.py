"""Telemetry in: OTLP/HTTP traces decoded, their spans mapped by one table of conventions to our records.

The way of a request: ``otlp`` (bytes to a protobuf message, by the protocol) → ``mapping`` (message to spans, by the
table in ``conventions``; contents by ``messages``, text by the rules of ``text``).
"""

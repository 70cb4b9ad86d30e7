"""Telemetry: spans of OpenTelemetry, in by OTLP/HTTP."""

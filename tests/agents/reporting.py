"""How tests report executions."""

from datetime import datetime

from django.utils import timezone

EXECUTIONS = "/api/v1/agent-executions/"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NOON = "2026-03-04T12:00:00Z"


def seconds_from_now(text: str) -> float:
    return abs((datetime.fromisoformat(text) - timezone.now()).total_seconds())

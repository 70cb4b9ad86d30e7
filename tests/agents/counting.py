"""Statistics as counting in plain Python has them."""

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

from django.core.management import call_command

EXECUTIONS = "/api/v1/statistics/executions/"
MODEL_CALLS = "/api/v1/statistics/model-calls/"
TOOL_EXECUTIONS = "/api/v1/statistics/tool-executions/"
ADDRESSES = {"execution": EXECUTIONS, "model_call": MODEL_CALLS, "tool_execution": TOOL_EXECUTIONS}
START = datetime(2026, 3, 1, 5, tzinfo=UTC)
END = datetime(2026, 3, 5, 19, tzinfo=UTC)
WHEN = {"start": START.isoformat(), "end": END.isoformat()}
CALL = Decimal("0.0035")  # a call of 1,000 tokens in and 100 out, at 2.5 and 10 dollars a million


def run(*command: str) -> str:
    output = StringIO()
    call_command(*command, stdout=output)
    return output.getvalue()

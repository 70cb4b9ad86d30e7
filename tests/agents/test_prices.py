"""Which price a model call has: by the time of the call."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TimeOfDateConstraint

from agents import prices

WHEN = datetime(2026, 3, 4, 12, tzinfo=UTC)


def of_a_million(provider: str, model: str, when: datetime = WHEN) -> Decimal | None:
    """Return what 100,000 tokens of input cost, times ten: some prices rise beyond 200,000."""
    units = prices.price(provider, model, when.timestamp(), input_tokens=100_000, output_tokens=0)
    return None if units is None else Decimal(units) * 10 / prices.UNITS


def listed(provider: str, model: str, when: datetime = WHEN) -> Decimal:
    """Return the same of the package itself, by its own names."""
    usage = Usage(input_tokens=100_000)
    return calc_price(usage, model, provider_id=provider, genai_request_timestamp=when).total_price * 10


@pytest.mark.parametrize(("hour", "minute"), [(0, 15), (0, 29), (0, 30), (0, 45), (16, 15), (16, 29), (16, 30)])
def test_a_price_changes_when_it_does(hour: int, minute: int) -> None:
    """DeepSeek's were lower from 16:30 to 0:30."""
    when = datetime(2025, 6, 9, hour, minute, 59, tzinfo=UTC)
    assert of_a_million("deepseek", "deepseek-chat", when) == listed("deepseek", "deepseek-chat", when)


def test_prices_by_the_time_of_day_change_at_quarters_of_an_hour() -> None:
    """Prices are kept by the quarter: one that changed within it would be wrong for the rest."""
    constraints = [
        priced.constraint
        for provider in get_snapshot().providers
        for model in provider.models
        for priced in (*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ()))
    ]
    times = [
        datetime.combine(WHEN, at)
        for constraint in constraints
        if isinstance(constraint, TimeOfDateConstraint)
        for at in (constraint.start_time, constraint.end_time)
    ]
    assert times
    assert [at for at in times if at.timestamp() % prices.QUARTER] == []

"""What a model call costs, by the public prices of the package genai-prices at the call's own time.

The package works a price out in some 100 microseconds. Prices but for tiered ones are linear in the tokens, so what a
million of each kind costs is asked once for each model and quarter of an hour, and a call is then a few products.
Amounts are whole numbers of 1e-10 dollars (``UNITS`` to the dollar), exact as the column's decimals are.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices, Usage

from agents.models import Pricing

UNITS = 10**10
MILLION = 10**6
QUARTER = 900  # seconds: prices that depend on the time of day change at multiples of it

# OpenTelemetry's and OpenInference's names of providers, where the package's own differ.
PROVIDERS = {
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google_genai": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
}

Price = Callable[[int, int, int, int, int], int]


class Consumption(Protocol):
    """What a call consumed: a row of a model call, or what is to become one. Null is unknown."""

    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None


def price_of(used: Consumption, *, provider: str, model: str, when: float) -> tuple[int | None, Pricing]:
    """Return what a call costs, in 1e-10 dollars, and where that comes from, or why it isn't known.

    The arguments are those of ``price``.
    """
    if used.input_tokens is None and used.output_tokens is None:
        return None, Pricing.NO_USAGE
    units = price(
        provider,
        model,
        when,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cached_tokens=used.cached_tokens,
        cache_write_tokens=used.cache_write_tokens,
        reasoning_tokens=used.reasoning_tokens,
    )
    return units, Pricing.UNKNOWN_MODEL if units is None else Pricing.COMPUTED


def price(
    provider: str,
    model: str,
    when: float,
    *,
    input_tokens: int | None,
    output_tokens: int | None,
    cached_tokens: int | None = None,
    cache_write_tokens: int | None = None,
    reasoning_tokens: int | None = None,
) -> int | None:
    """Return what a call costs, in 1e-10 dollars; None for a model of unknown price.

    Args:
        provider: as the client names it, or "".
        model: the one that answered.
        when: the call's time, in seconds since 1970.
        input_tokens: all of the input. A number below that of the cached ones means that they aren't in it.
        output_tokens: all of the output.
        cached_tokens: of the input, those read from the cache.
        cache_write_tokens: of the input, those written to the cache.
        reasoning_tokens: of the output, those the model thought with.
    """
    of_model = _price_of(provider.lower(), model.lower(), int(when // QUARTER))
    if of_model is None:
        return None
    given, cached, written = input_tokens or 0, cached_tokens or 0, cache_write_tokens or 0
    if cached + written > given:
        given += cached + written
    output = output_tokens or 0
    return of_model(given, cached, written, output, min(reasoning_tokens or 0, output))


@lru_cache(maxsize=10_000)
def _price_of(provider: str, model: str, quarter: int) -> Price | None:
    """Return how a model's price follows from tokens, in a quarter of an hour since 1970."""
    found = _find(provider, model)
    if found is None:
        return None
    prices = found.get_prices(datetime.fromtimestamp(quarter * QUARTER, UTC))

    def exactly(given: int, cached: int, written: int, output: int, thought: int) -> int:
        usage = Usage(
            input_tokens=given,
            cache_read_tokens=cached,
            cache_write_tokens=written,
            output_tokens=output,
            output_reasoning_tokens=thought,
        )
        return round(prices.calc_price(usage)["total_price"] * UNITS)

    if any(isinstance(each, TieredPrices) for each in vars(prices).values()):
        return exactly
    once = exactly(0, 0, 0, 0, 0)
    plain, read, write, said, thought = (
        exactly(*tokens) - once
        for tokens in (
            (MILLION, 0, 0, 0, 0),
            (MILLION, MILLION, 0, 0, 0),
            (MILLION, 0, MILLION, 0, 0),
            (0, 0, 0, MILLION, 0),
            (0, 0, 0, MILLION, MILLION),
        )
    )

    def linearly(given: int, cached: int, written: int, output: int, thoughts: int) -> int:
        total = (given - cached - written) * plain + cached * read + written * write
        total += (output - thoughts) * said + thoughts * thought
        return once + (total + MILLION // 2) // MILLION

    return linearly


def _find(provider: str, model: str) -> Any:
    """Return the package's model, found by its provider, or else by its name alone."""
    snapshot = get_snapshot()
    for each in dict.fromkeys((PROVIDERS.get(provider, provider) or None, None)):
        try:
            return snapshot.find_provider_model(model, None, each, None)[1]
        except LookupError:
            continue
    return None

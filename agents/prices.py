"""What a model call costs, by the public prices of the package genai-prices at the call's own time.

The package works a price out in some 100 microseconds. Prices but for tiered ones are linear in the tokens, so what a
million of each kind costs is asked once for each model and quarter of an hour, and a call is then a few products.
Amounts are whole numbers of 1e-10 dollars (``UNITS`` to the dollar), exact as the column's decimals are.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

from genai_prices.data_snapshot import find_provider_by_id, get_snapshot
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
    "bedrock_converse": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "azureopenai": "azure",
    "fireworks_ai": "fireworks",
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

# Servers of one's own, by a part of their name without its punctuation: what they run costs nobody a price a token.
SELF_HOSTED = re.compile(
    r"ollama|vllm|llamacpp|llamafile|lmstudio|sglang|localai|koboldcpp|gpt4all|xinference|textgeneration|tabbyapi"
    r"|lmdeploy|ramalama|dockermodelrunner|^(tgi|mlx|mlxlm|oobabooga|exllama|triton|local|selfhosted)$"
)
MOST_SLASHES = 6  # of a model's name that is looked at: more are nobody's, and each is looked up
PUNCTUATION = re.compile(r"[^a-z0-9]+")

# Google's names of resources around a model's own.
RESOURCE = re.compile(r"^(?:(?:projects/[^/]+/)?(?:locations/[^/]+/)?publishers/[^/]+/)?models/")

# Models whose weights nobody else has.
MAKERS_ONLY = re.compile(r"claude-|gemini-|grok-")

# Whose names are looked for where a span names no provider, and the package can't guess it.
MAKERS = ("openai", "anthropic", "google", "mistral", "cohere", "voyageai")

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
    """Return the package's model; None where none is known, or where a server of one's own ran it.

    Names come as the client has them: ``models/gemini-2.5-flash``, ``azure/gpt-4o``, ``openrouter/openai/gpt-4o``. A
    provider that the package knows is believed: what it doesn't sell isn't priced as somebody else's of that name.
    """
    model = RESOURCE.sub("", model)
    if _self_hosted(provider) or model.count("/") > MOST_SLASHES:
        return None
    seller = _seller(provider)
    if seller and (found := _sold_by(seller, model)):
        return found
    prefix, _, rest = model.partition("/")
    if not rest:
        # What only its maker runs costs the maker's price through whatever gateway OpenAI's client asks.
        return _by_name(model) if not seller or (seller == "openai" and MAKERS_ONLY.match(model)) else None
    maker = _seller(prefix)
    match seller:
        case "":
            if _self_hosted(prefix):
                return None
            return _find(maker, rest) if maker else _by_name(model)
        case _ if maker == seller:
            return _find(seller, rest)
        case "openrouter":
            return _sold_by(maker, rest)
        case "openai":
            # OpenAI's client against a gateway: OpenRouter, whose names have the maker before them, or one like it.
            known = _find(maker, rest) if maker else None
            return known and (_sold_by("openrouter", model) or known)
    return None


def _self_hosted(name: str) -> bool:
    return SELF_HOSTED.search(PUNCTUATION.sub("", name)) is not None


def _seller(name: str) -> str:
    """Return the package's name of a provider; "" for one that it doesn't know."""
    found = find_provider_by_id(get_snapshot().providers, PROVIDERS.get(name, name)) if name else None
    return found.id if found else ""


def _sold_by(seller: str, model: str) -> Any:
    """Return the seller's model, or that of whoever the package says it resells."""
    if not seller:
        return None
    try:
        return get_snapshot().find_provider_model(model, None, seller, None)[1]
    except LookupError:
        return None


def _by_name(model: str) -> Any:
    """Return the model of this name, of the provider that the package takes from it, or of a maker that has it."""
    try:
        return get_snapshot().find_provider_model(model, None, None, None)[1]
    except LookupError:
        return next(filter(None, (_sold_by(maker, model) for maker in MAKERS)), None)

"""Which price a model call has: the names that clients give models, who ran them, and the time of the call."""

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TimeOfDateConstraint

from agents import prices
from agents.models import Pricing

WHEN = datetime(2026, 3, 4, 12, tzinfo=UTC)


def of_a_million(provider: str, model: str, when: datetime = WHEN) -> Decimal | None:
    """Return what 100,000 tokens of input cost, times ten: some prices rise beyond 200,000."""
    units = prices.price(provider, model, when.timestamp(), input_tokens=100_000, output_tokens=0)
    return None if units is None else Decimal(units) * 10 / prices.UNITS


def listed(provider: str, model: str, when: datetime = WHEN) -> Decimal:
    """Return the same of the package itself, by its own names."""
    usage = Usage(input_tokens=100_000)
    return calc_price(usage, model, provider_id=provider, genai_request_timestamp=when).total_price * 10


@pytest.mark.parametrize(
    ("provider", "model", "seller", "known_as"),
    [
        ("google", "models/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("gcp.gemini", "models/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("google", "publishers/google/models/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        (
            "gcp.vertex_ai",
            "projects/p-1/locations/us-central1/publishers/google/models/gemini-2.5-pro",
            "google",
            "gemini-2.5-pro",
        ),
        ("gcp.vertex_ai", "publishers/anthropic/models/claude-sonnet-4-5", "google", "claude-sonnet-4-5"),
        ("", "models/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("", "openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("openai", "openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("", "anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        ("anthropic", "anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        ("litellm", "anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        ("", "gemini/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("google", "gemini/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("", "vertex_ai/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("", "azure/gpt-4o", "azure", "gpt-4o"),
        ("azure.ai.openai", "azure/gpt-4o", "azure", "gpt-4o"),
        ("", "bedrock/anthropic.claude-3-haiku-20240307-v1:0", "aws", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("", "groq/llama-3.3-70b-versatile", "groq", "llama-3.3-70b-versatile"),
        ("", "openrouter/anthropic/claude-sonnet-4.5", "openrouter", "anthropic/claude-sonnet-4.5"),
        ("openrouter", "openrouter/anthropic/claude-sonnet-4.5", "openrouter", "anthropic/claude-sonnet-4.5"),
        ("openai", "anthropic/claude-sonnet-4.5", "openrouter", "anthropic/claude-sonnet-4.5"),
        ("openai", "google/gemini-2.5-flash", "openrouter", "google/gemini-2.5-flash"),
        ("openai", "groq/llama-3.3-70b-versatile", "groq", "llama-3.3-70b-versatile"),
        ("", "text-embedding-3-small", "openai", "text-embedding-3-small"),
        ("", "GPT-4o", "openai", "gpt-4o"),
        ("groq", "openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
    ],
)
def test_a_model_is_known_by_its_usual_names(provider: str, model: str, seller: str, known_as: str) -> None:
    assert of_a_million(provider, model) == listed(seller, known_as)


def test_openrouters_own_price_comes_first_and_the_makers_where_it_has_none() -> None:
    """DeepSeek's models are dearer or cheaper elsewhere: the two lists differ, so that one sees whose price it is."""
    name = "deepseek/deepseek-r1"
    assert listed("openrouter", name) != listed("deepseek", "deepseek-r1")
    assert of_a_million("openrouter", name) == of_a_million("", f"openrouter/{name}") == listed("openrouter", name)
    assert of_a_million("", name) == listed("deepseek", "deepseek-r1")
    with pytest.raises(LookupError):
        listed("openrouter", "voyageai/voyage-3")
    assert of_a_million("openrouter", "voyageai/voyage-3") == listed("voyageai", "voyage-3")


@pytest.mark.parametrize(
    "provider",
    [
        *("ollama", "Ollama", "ollama_chat", "vllm", "hosted_vllm", "llama.cpp", "llamacpp", "llama-cpp-python"),
        *("lmstudio", "lm_studio", "LM Studio", "tgi", "sglang", "localai", "LocalAI", "llamafile", "xinference"),
    ],
)
@pytest.mark.parametrize("model", ["deepseek-r1", "gpt-4o", "openai/gpt-4o", "anthropic/claude-sonnet-4-5"])
def test_what_runs_on_a_server_of_ones_own_has_no_price(provider: str, model: str) -> None:
    assert of_a_million(provider, model) is None
    assert of_a_million("", f"{provider}/{model}") is None
    assert of_a_million("openai", f"{provider}/{model}") is None
    used = SimpleNamespace(
        input_tokens=5, output_tokens=5, cached_tokens=None, cache_write_tokens=None, reasoning_tokens=None
    )
    found = prices.price_of(used, provider=provider, model=model, when=WHEN.timestamp())
    assert found == (None, Pricing.UNKNOWN_MODEL)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("groq", "gpt-4o"),
        ("groq", "openai/gpt-4o"),
        ("openai", "deepseek-r1"),
        ("openai", "qwen/qwen2.5-7b-instruct"),
        ("azure", "my-deployment"),
        ("", "my-gpt-4o-proxy"),
        ("", ""),
        ("", "/gpt-4o"),
        ("openai", "openai/"),
        ("openai", "openai/" * 100_000 + "gpt-4o"),
        ("", "aws/" * 100_000),
    ],
)
def test_what_a_provider_does_not_sell_has_no_price(provider: str, model: str) -> None:
    assert of_a_million(provider, model) is None


def test_a_name_alone_is_enough_where_the_provider_is_not_known() -> None:
    assert of_a_million("my-gateway", "gpt-4o") == of_a_million("", "gpt-4o") == listed("openai", "gpt-4o")


@pytest.mark.parametrize(("model", "maker"), [("claude-sonnet-4-5", "anthropic"), ("gemini-2.5-flash", "google")])
def test_what_only_its_maker_runs_has_its_price_through_a_gateway(model: str, maker: str) -> None:
    """OpenAI's client names OpenAI as the provider, whatever address it asks."""
    assert of_a_million("openai", model) == listed(maker, model) is not None


# --- The time of the call -----------------------------------------------------------------------------


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

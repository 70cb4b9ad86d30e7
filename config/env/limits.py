"""Requests and failed logins: how many are taken."""

from config.variables import Variable, for_each, masked_url, matching, number

PLAN_TIERS = ("free", "pro", "enterprise")


def _by_tier(name: str, free: int, pro: int, purpose: str) -> Variable[dict[str, int]]:
    return Variable(
        name,
        for_each(PLAN_TIERS, 0, 1_000_000),
        {"free": free, "pro": pro, "enterprise": 0},
        "whole numbers from 0 (no limit) to 1000000: one for all plan tiers, or free=N,pro=N,enterprise=N",
        purpose,
    )


RATE_LIMIT_KEY = _by_tier(
    "RATE_LIMIT_KEY",
    200_000,
    500_000,
    "How many requests a minute one API key, or one user by session, may make of the API, by its organization's tier.",
)
RATE_LIMIT_ORGANIZATION = _by_tier(
    "RATE_LIMIT_ORGANIZATION",
    400_000,
    1_000_000,
    "How many requests a minute all keys and users of an organization together may make of the API.",
)
TELEMETRY_RATE_LIMIT_KEY = _by_tier(
    "TELEMETRY_RATE_LIMIT_KEY",
    200_000,
    500_000,
    "How many requests of telemetry a minute one API key may send. They count apart from those of the API.",
)
TELEMETRY_RATE_LIMIT_ORGANIZATION = _by_tier(
    "TELEMETRY_RATE_LIMIT_ORGANIZATION",
    400_000,
    1_000_000,
    "How many requests of telemetry a minute all keys of an organization together may send.",
)
CACHE_URL = Variable(
    "CACHE_URL",
    matching(r"(rediss?|unix)://\S+"),
    "",
    "redis://USER:PASSWORD@HOST:6379/0, rediss:// for TLS, or unix://PATH?db=0",
    "The Redis or Valkey in which processes count requests together. Without one, the database does.",
    shown_default="none: the database counts",
    example="redis://localhost:6379/0",
    show=masked_url,
)
LOGIN_FAILURE_LIMIT = number(
    "LOGIN_FAILURE_LIMIT",
    0,
    1_000,
    5,
    "After how many failures to log in with one email from one address no more are taken, for LOGIN_LOCK_SECONDS."
    " Ten times as many lock an address for all emails, and twenty times as many an email from all addresses.",
    zero="no limit",
)
LOGIN_LOCK_SECONDS = number(
    "LOGIN_LOCK_SECONDS",
    1,
    86_400,
    900,
    "How long, in seconds, logins stay locked after too many failures, and failures count.",
    unit="seconds",
)

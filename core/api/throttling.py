"""Rate limits of the API: who counts against what, and how answers tell of it.

The headers are those of draft-ietf-httpapi-ratelimit-headers-11: ``RateLimit-Policy`` states the quotas,
``RateLimit`` what is left of them (``r``) for how many seconds (``t``).
"""

import time
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework import exceptions

from core.limits.rates import WINDOW_SECONDS, Limiter, Quota, Standing, Verdict
from core.limits.stores import DatabaseStore

if TYPE_CHECKING:
    from core.api.authentication import Principal

API, TELEMETRY = "api", "telemetry"
KNOWN_SECONDS = 60  # after so long, a change of the plan tier counts
REMEMBERED = 10_000  # keys

Quotas = tuple[Quota, ...]


class QuotaExceeded(exceptions.Throttled):
    """429: more requests than the plan tier allows. ``violated-policies`` is the member that the draft defines."""

    def __init__(self, exceeded: tuple[Standing, ...]) -> None:
        quotas = [standing.quota for standing in exceeded]
        told = " and ".join(f"{quota.limit:,} for each {quota.policy}" for quota in quotas)
        super().__init__(detail=f"The plan allows so many requests a minute: {told}.")
        self.retry_after = max(seconds_of(standing) for standing in exceeded)
        self.extra_headers = {"Retry-After": str(self.retry_after)}
        self.extension = {"violated-policies": [quota.policy for quota in quotas]}


def seconds_of(standing: Standing) -> int:
    """Return in how many whole seconds the window is over."""
    return int(standing.seconds) + 1


@cache
def limiter() -> Limiter:
    """Return the limiter of this process."""
    if not settings.CACHE_URL:
        return Limiter(DatabaseStore())
    from core.limits.cache import CacheStore

    return Limiter(CacheStore(settings.CACHE_URL, DatabaseStore()))


class KnownKeys:
    """The quotas of keys that were good a moment ago, by the digest of their secrets: they can be counted unasked."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Quotas, float]] = {}
        self._lock = Lock()

    def remember(self, digest: str, quotas: Quotas) -> None:
        """Keep a key's quotas for a while; forget the oldest beyond so many."""
        with self._lock:
            self._kept.pop(digest, None)
            self._kept[digest] = (quotas, time.monotonic() + KNOWN_SECONDS)
            if len(self._kept) > REMEMBERED:
                del self._kept[next(iter(self._kept))]

    def find(self, digest: str) -> Quotas | None:
        """Return the quotas of a key; None where they aren't known, or not any more."""
        found = self._kept.get(digest)
        return found[0] if found and time.monotonic() < found[1] else None


known_keys = KnownKeys()


def quotas_of(principal: "Principal", budget: str) -> Quotas:
    """Return the limits that a request counts against. ``budget`` tells the API's own from those of telemetry."""
    limits = settings.RATE_LIMITS.get(budget)
    if not limits:
        return ()
    organization = principal.organization_id
    owners = [
        ("principal", "key", str(principal.api_key_id))
        if principal.api_key_id
        else ("principal", "user", f"{principal.user_id}:{organization}"),  # who may be in several, of several tiers
        ("organization", "organization", str(organization)),
    ]
    return tuple(
        Quota(policy, f"{budget}:{policy}:{owner}", limit)
        for kind, policy, owner in owners
        if (limit := limits[kind][principal.plan_tier])
    )


def admit(request: HttpRequest, principal: "Principal", budget: str = API, digest: str | None = None) -> None:
    """Count the request, unless the short way has; raise QuotaExceeded where it is one too many.

    ``digest`` is that of the key's secret, by which the short way then knows it.
    """
    if not settings.RATE_LIMITS:
        return
    verdict: Verdict | None = getattr(request, "rate_verdict", None)
    if verdict is None:
        quotas = quotas_of(principal, budget)
        if digest and budget == API:
            known_keys.remember(digest, quotas)
        verdict = _count(request, quotas)
    if not verdict.admitted:
        raise QuotaExceeded(verdict.exceeded)


def admit_known(request: HttpRequest, digest: str) -> bool:
    """Count a request that comes the short way. False where it must go the ordinary way, which then says why not."""
    if not settings.RATE_LIMITS:
        return True
    quotas = known_keys.find(digest)
    return quotas is not None and _count(request, quotas).admitted


def _count(request: Any, quotas: Quotas) -> Verdict:
    verdict = limiter().take(quotas) if quotas else Verdict(())
    request.rate_verdict = verdict
    return verdict


def tell(request: HttpRequest, response: HttpResponseBase) -> None:
    """Set the headers on the answer to a request that was counted."""
    verdict: Verdict | None = getattr(request, "rate_verdict", None)
    if verdict is None or not verdict.standings:
        return
    policies = [f'"{each.quota.policy}";q={each.quota.limit};w={WINDOW_SECONDS}' for each in verdict.standings]
    limits = [f'"{each.quota.policy}";r={each.remaining};t={seconds_of(each)}' for each in verdict.standings]
    response["RateLimit-Policy"] = ", ".join(policies)
    response["RateLimit"] = ", ".join(limits)

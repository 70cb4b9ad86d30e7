"""Rate limits: how many requests a key and an organization may make in a window, whatever number of processes serves.

A window begins with the first request after the last window, and lasts ``WINDOW_SECONDS``. To ask the store of counts
at each request would cost more than many a request. So a process takes a lease: it reserves a block of tokens in one
question, and spends them by itself, one a request; when they are used up, or the window is over, it asks again.

Bounds. A token is reserved before it is spent, and none outlives its window: processes together never admit more than
the limit in a window (over-admission: 0), and once the store has none left, all refuse. What can go wrong
is the other way: tokens that a process holds and doesn't use are missing elsewhere until the window ends. A lease is
at most a fiftieth of the limit and at most an eighth of what is left, so of ``n`` processes those that fell idle
hold back at most ``(n - 1) * (block(limit) - 1)`` tokens. A limit below 100 is handed out token by token, and exact.
Two neighbouring windows may each be used up, at the end of the one and the beginning of the other.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple, Protocol

WINDOW_SECONDS = 60
BLOCKS = 50  # in a limit
LARGEST_BLOCK = 500  # tokens
REMEMBERED = 20_000  # leases, of some hundred bytes each


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit that a request counts against: ``limit`` requests a window, of all that share the ``bucket``."""

    policy: str
    bucket: str
    limit: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What the store handed out: tokens, how many are left for others, and in how many seconds the window ends."""

    tokens: int
    remaining: int
    seconds: float


class Store(Protocol):
    """Where processes count together."""

    def reserve(self, quotas: Sequence[Quota]) -> list[Grant]:
        """Take up to ``block(limit)`` tokens of each quota, in the order given."""


@dataclass(slots=True)
class Lease:
    """What this process may still spend of a bucket until ``ends`` (of this process's clock)."""

    tokens: int
    remaining: int
    ends: float


class Standing(NamedTuple):
    """How it stands with a quota: how much is left, here and unreserved, for how many seconds."""

    quota: Quota
    remaining: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is admitted, and how it then stands with each quota; ``exceeded`` are those at fault."""

    standings: tuple[Standing, ...]
    exceeded: tuple[Standing, ...] = ()

    @property
    def admitted(self) -> bool:
        """Tell whether no quota is exceeded."""
        return not self.exceeded


def block(limit: int) -> int:
    """Return how many tokens of a limit a process reserves at once."""
    return max(1, min(limit // BLOCKS, LARGEST_BLOCK))


class Limiter:
    """Admits requests, by leases of a store. Its methods may be called by several threads at once."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._leases: dict[str, Lease] = {}
        self._lock = Lock()
        os.register_at_fork(after_in_child=self.forget)  # a child shall not spend its parent's tokens again

    def forget(self) -> None:
        """Drop all leases. Their tokens are lost until their windows end."""
        self._leases = {}
        self._lock = Lock()

    def take(self, quotas: Sequence[Quota]) -> Verdict:
        """Count one request against the quotas: against all of them, or, where one is exceeded, against none."""
        with self._lock:
            outcome = self._settle(quotas)
        while not isinstance(outcome, Verdict):
            asked_at = self._clock()
            grants = self._store.reserve(outcome)
            with self._lock:
                for quota, grant in zip(outcome, grants, strict=True):
                    self._lend(quota, grant, asked_at + grant.seconds)
                outcome = self._settle(quotas)
        return outcome

    def _settle(self, quotas: Sequence[Quota]) -> Verdict | list[Quota]:
        """Spend a token of each quota; or return those that the store must be asked about first."""
        now = self._clock()
        leases = [(quota, lease) for quota in quotas if (lease := self._present(quota, now))]
        ready = len(leases) == len(quotas) and all(lease.tokens for _, lease in leases)
        if ready:
            for _, lease in leases:
                lease.tokens -= 1
        standings = tuple(Standing(quota, lease.tokens + lease.remaining, lease.ends - now) for quota, lease in leases)
        if ready:
            return Verdict(standings)
        if exceeded := tuple(standing for standing in standings if not standing.remaining):
            return Verdict(standings, exceeded)
        held = {quota for quota, lease in leases if lease.tokens}
        return [quota for quota in quotas if quota not in held]

    def _present(self, quota: Quota, now: float) -> Lease | None:
        """Return the lease of the present window."""
        lease = self._leases.get(quota.bucket)
        return lease if lease and now < lease.ends else None

    def _lend(self, quota: Quota, grant: Grant, ends: float) -> None:
        """Add to what this process may spend. Answers may come in another order than they were given."""
        lease = self._leases.get(quota.bucket)
        if lease is None or ends > lease.ends + WINDOW_SECONDS / 2:  # another window
            self._leases.pop(quota.bucket, None)
            self._leases[quota.bucket] = Lease(grant.tokens, grant.remaining, ends)
            if len(self._leases) > REMEMBERED:
                del self._leases[next(iter(self._leases))]
        elif ends > lease.ends - WINDOW_SECONDS / 2:
            lease.tokens += grant.tokens
            lease.remaining = min(lease.remaining, grant.remaining)
            lease.ends = min(lease.ends, ends)

"""Where processes count requests together if there is Redis or Valkey.

Loaded only then: the client library takes 7 MB of each process.
"""

import logging
import time
from collections.abc import Sequence
from functools import cached_property

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.limits.rates import WINDOW_SECONDS, Grant, Quota, block
from core.limits.stores import DatabaseStore

logger = logging.getLogger(__name__)

# The same as muster_reserve, in the words of Redis.
SCRIPT = """
local answer = {}
for i, bucket in ipairs(KEYS) do
    local quota, want = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
    local remaining = math.max(0, quota - tonumber(redis.call('GET', bucket) or '0'))
    local tokens = math.min(want, remaining, math.max(1, math.floor(remaining / 8)))
    redis.call('INCRBY', bucket, tokens)
    local left = redis.call('PTTL', bucket)
    if left < 0 then
        redis.call('PEXPIRE', bucket, ARGV[1])
        left = tonumber(ARGV[1])
    end
    answer[i] = {tokens, remaining - tokens, left}
end
return answer
"""
PREFIX = "muster:rate:"
TIMEOUT_SECONDS = 0.5
AWAY_SECONDS = 5.0


class CacheStore:
    """Counts in Redis or Valkey. While it is out of reach, the fallback counts, from the beginning.

    So a limit holds all the time, and may be used up once more in the window in which the counts change hands.
    """

    def __init__(self, url: str, fallback: DatabaseStore) -> None:
        self._url = url
        self._fallback = fallback
        self._away_until = 0.0

    @cached_property
    def _script(self) -> redis.commands.core.Script:
        client = redis.Redis.from_url(
            self._url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection that was closed while idle
        )
        return client.register_script(SCRIPT)

    def reserve(self, quotas: Sequence[Quota]) -> list[Grant]:
        """Take some tokens of each quota."""
        if time.monotonic() < self._away_until:
            return self._fallback.reserve(quotas)
        values = [value for quota in quotas for value in (quota.limit, block(quota.limit))]
        try:
            rows = self._script(keys=[PREFIX + quota.bucket for quota in quotas], args=[WINDOW_SECONDS * 1000, *values])
        except redis.RedisError as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            logger.warning("CACHE_URL is out of reach, the database counts requests: %s", type(error).__name__)
            return self._fallback.reserve(quotas)
        return [Grant(tokens, remaining, milliseconds / 1000) for tokens, remaining, milliseconds in rows]

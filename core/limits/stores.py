"""Where processes count requests together: the database. Where there is Redis or Valkey, see `core.limits.cache`."""

from collections.abc import Sequence

from core.connections import native_cursor
from core.limits.rates import WINDOW_SECONDS, Grant, Quota, block

RESERVE = "SELECT tokens, remaining, seconds_left FROM muster_reserve($1::text[], $2::int[], $3::int[], $4::float8)"


class DatabaseStore:
    """Counts in PostgreSQL, by the request's connection, before its own work begins and so outside its transaction.

    A statement of its own on an unlogged table: it waits for no disk, and for others only while they do the same.
    """

    def reserve(self, quotas: Sequence[Quota]) -> list[Grant]:
        """Take some tokens of each quota."""
        buckets = [quota.bucket for quota in quotas]
        limits = [quota.limit for quota in quotas]
        with native_cursor() as cursor:
            cursor.execute(RESERVE, [buckets, limits, [block(limit) for limit in limits], WINDOW_SECONDS])
            return [Grant(*row) for row in cursor.fetchall()]

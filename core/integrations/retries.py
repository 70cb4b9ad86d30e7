"""When messages to services are tried again."""

from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision

MOST_ATTEMPTS = 6
LONGEST_WAIT = 3600  # seconds, however long the service asks for


class NoticeRetry(BaseRetryStrategy):
    """As other jobs, but never before the service asked for, and not where it would refuse the same again."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when, or None for never."""
        if getattr(exception, "lasting", False) or job.attempts >= MOST_ATTEMPTS:
            return None
        wait = max(4 ** (job.attempts + 1), min(getattr(exception, "wait", 0), LONGEST_WAIT))
        return RetryDecision(retry_in={"seconds": wait})


NOTICE_RETRY = NoticeRetry()
"""Six more attempts, after 4 s, 16 s, 1 min, 4 min, 17 min and 68 min."""

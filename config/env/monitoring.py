"""What the program tells of itself: logs and metrics."""

from config.variables import Variable, hidden, matching, number, one_of, switch

LOG_LEVEL = Variable(
    "LOG_LEVEL",
    one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    "INFO",
    "one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
    "The least important messages that are logged, to standard error.",
)
LOG_FORMAT = Variable(
    "LOG_FORMAT",
    one_of("plain", "json"),
    "",
    "plain or json",
    "Lines for people, or a JSON object a line for programs.",
    shown_default="json; plain with DEBUG",
    example="json",
)
ACCESS_LOG = switch(
    "ACCESS_LOG",
    True,
    "Log a line for each request that is answered: request id, organization, key, route, status, duration.",
)
DB_SLOW_STATEMENT_MS = number(
    "DB_SLOW_STATEMENT_MS",
    0,
    86_400_000,
    1_000,
    "Log SQL statements that take longer, in milliseconds, without their parameters.",
    unit="milliseconds",
    zero="none",
)
METRICS_TOKEN = Variable(
    "METRICS_TOKEN",
    matching(r"[A-Za-z0-9._~+/=-]{16,}"),
    "",
    "a secret random text of at least 16 characters without blanks",
    "The bearer token with which Prometheus reads /metrics. Without one, only staff who are logged in do.",
    shown_default="none",
    show=hidden,
)

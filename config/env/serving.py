"""The web server: where it listens, and with how much."""

from config.variables import Variable, matching, number

WEB_HOST = Variable(
    "WEB_HOST",
    matching(r"[0-9A-Za-z.:_-]+"),
    "127.0.0.1",
    "an address of this machine, or a name of it",
    "The address on which `manage.py serve` listens. 0.0.0.0 is every address, which images have.",
)
WEB_PORT = number("WEB_PORT", 1, 65535, 8000, "The port on which it listens.", noun="port number")
WEB_WORKERS = number(
    "WEB_WORKERS",
    1,
    256,
    2,
    "How many processes serve, each with a pool of connections of its own. The number of cores is a good measure.",
)
WEB_THREADS = number(
    "WEB_THREADS",
    1,
    256,
    3,
    "How many requests each of them answers at once. At most DB_POOL_SIZE and DB_MAX_OVERFLOW together.",
)
WEB_GRACE_SECONDS = number(
    "WEB_GRACE_SECONDS",
    1,
    1800,
    30,
    "How long, in seconds, requests under way have to end once the server is told to stop.",
    unit="seconds",
)

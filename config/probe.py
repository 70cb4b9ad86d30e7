"""Asks the web server of this machine for a sign of life: `python -m config.probe` ends with 0 if it gives one.

The health check of images. It asks for the first of ALLOWED_HOSTS, as others would, and loads no more than it needs.
"""

import sys
from http.client import HTTPConnection, HTTPException

from config.env.application import ALLOWED_HOSTS
from config.env.serving import WEB_PORT

SECONDS = 4


def main() -> int:
    """Ask, and tell what is wrong if it is."""
    hosts = ALLOWED_HOSTS.get() or ["localhost"]
    connection = HTTPConnection("127.0.0.1", WEB_PORT.get(), timeout=SECONDS)
    try:
        connection.request("GET", "/health/live", headers={"Host": hosts[0].lstrip(".*") or "localhost"})
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        print(f"No answer: {error!r}", file=sys.stderr)  # noqa: T201 (a program's own word)
        return 1
    finally:
        connection.close()
    if status != 200:
        print(f"The answer's status is {status}.", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

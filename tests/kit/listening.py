"""What listens on this machine, and what doesn't."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer


class Listener(ThreadingHTTPServer):
    """A server of HTTP for tests: many may come at once, and its end waits for nobody."""

    request_queue_size = 128  # Python's 5 drop who comes while the machine is busy, who comes again a second later
    daemon_threads = True


@contextmanager
def deaf_port() -> Iterator[int]:
    """Hold a port on which nobody listens: one that is only free, another program may take."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]

"""A receiver of webhooks on this machine, which answers as a test wants and remembers what came."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest

from tests.kit.listening import Listener

DROP = 0
"""The status of no answer: the connection breaks."""

sends = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True)
class Received:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    method: str


@dataclass
class Receiver:
    """Answers each request by what ``answer`` makes of it: status, headers, body; no answer at status ``DROP``."""

    answer: Callable[[Received], tuple[int, dict[str, str], bytes]] = lambda request: (204, {}, b"")
    requests: list[Received] = field(default_factory=list)
    port: int = 0

    def url(self, path: str = "/hook") -> str:
        """Return an address of the receiver."""
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def receiving(answer: Callable[[Received], tuple[int, dict[str, str], bytes]] | None = None) -> Iterator[Receiver]:
    """Listen on a free port of this machine while the block runs."""
    receiver = Receiver() if answer is None else Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionResetError):  # who asked died
                super().handle()

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # who asked died in the middle
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.path, headers, body, time.monotonic(), self.command)
            receiver.requests.append(request)
            status, given, content = receiver.answer(request)
            if status == DROP:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | given).items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # who asked reads no more than it wants
                self.wfile.write(content)

        def do_GET(self) -> None:
            self.do_POST()

        def do_HEAD(self) -> None:
            self.do_POST()

        def do_PUT(self) -> None:
            self.do_POST()

        def do_DELETE(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = Listener(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

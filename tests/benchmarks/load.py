"""A load generator: keep-alive connections that ask for one address again and again, and a stopwatch.

It speaks just enough HTTP over plain sockets to cost a small part of what the servers do: some 50 microseconds a
request, so that on a machine shared with the server it takes little from it.
"""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import quantiles

CONNECTIONS = 8


@dataclass(frozen=True)
class Figures:
    """What a run measured. Latencies are in milliseconds."""

    rate: float
    p50: float
    p99: float


class Connection:
    """One keep-alive connection to the server, which sends requests with the key."""

    def __init__(self, port: int, key: str) -> None:
        self.head = f"HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nAccept: application/json\r\n"
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str) -> bytes:
        """Return the body of the answer; AssertionError when it isn't a 200."""
        return self._answer(f"GET {path} {self.head}\r\n".encode())

    def post(self, path: str, body: bytes, content_type: str) -> bytes:
        """Return the body of the answer; AssertionError when it isn't a 2xx."""
        head = f"POST {path} {self.head}Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        return self._answer(head.encode() + body)

    def _answer(self, request: bytes) -> bytes:
        self.socket.sendall(request)
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        header = bytes(received[:end]).lower()
        assert header.startswith(b"http/1.1 2"), bytes(received)
        length = int(header.partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(received) < end + 4 + length:
            received += self._receive()
        return bytes(received[end + 4 :])

    def _receive(self) -> bytes:
        data = self.socket.recv(262_144)
        assert data, "The server closed the connection."
        return data


def at_once(count: int, work: Callable[[int], None]) -> None:
    """Do the work in so many threads, each told its number; raise what one of them failed with, when all have ended."""
    with ThreadPoolExecutor(count) as threads:
        for each in [threads.submit(work, number) for number in range(count)]:
            each.result()


def measure(port: int, key: str, paths: list[str], seconds: float, body: bytes | None = None) -> Figures:
    """Ask for ``paths`` in turn over ``CONNECTIONS`` connections at once, for so long; post ``body``, if any."""
    latencies: list[list[float]] = [[] for _ in range(CONNECTIONS)]
    deadline = time.perf_counter() + seconds

    def ask(worker: int) -> None:
        connection = Connection(port, key)
        turn = worker
        while (began := time.perf_counter()) < deadline:
            path = paths[turn % len(paths)]
            connection.get(path) if body is None else connection.post(path, body, "application/json")
            latencies[worker].append(time.perf_counter() - began)
            turn += CONNECTIONS

    began = time.perf_counter()
    at_once(CONNECTIONS, ask)
    took = time.perf_counter() - began
    every = [latency * 1000 for worker in latencies for latency in worker]
    cuts = quantiles(every, n=100)
    return Figures(rate=len(every) / took, p50=cuts[49], p99=cuts[98])

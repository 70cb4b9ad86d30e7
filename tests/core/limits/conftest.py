"""A Redis or Valkey of the tests' own, behind a Unix socket."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.kit.waiting import PATIENCE

SERVERS = ("valkey-server", "redis-server")


class CacheServer:
    """A server that can be stopped and started."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.socket = folder / "cache.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return what CACHE_URL would be."""
        return f"unix://{self.socket}?db=0"

    @property
    def client(self) -> redis.Redis:
        """Return a client of the test's own."""
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        command = [self.program, "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, cwd=self.socket.parent, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"The server ended with {self.process.returncode}."
            try:
                self.client.ping()
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                return
        raise TimeoutError(self.program)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None


@pytest.fixture
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CacheServer]:
    """A running server, empty."""
    program = next(filter(None, map(shutil.which, SERVERS)), None)
    if program is None:
        pytest.skip("neither valkey-server nor redis-server is installed; apt-get install one")
    server = CacheServer(program, tmp_path_factory.mktemp("cache"))
    server.start()
    yield server
    server.stop()

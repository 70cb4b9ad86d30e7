"""A PostgreSQL of a test's own, of the embedded binaries, on a TCP port; and what may happen to one."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

import psycopg

from config.embedded_postgres.server import binaries
from tests.kit.processes import family, has_ended, send, state
from tests.kit.waiting import eventually

# Who connects has its place before it is listed: so often must nobody else be seen.
LOOKS, LOOK_SECONDS = 5, 0.1


def free_port() -> int:
    """Return a port that nothing listens on."""
    while True:
        # Below those that Linux lends to whoever connects: it could lend this one before it is listened on.
        port = SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Postgres:
    """A server whose data are in a folder, which is made for it. Not started yet.

    Args:
        folder: an empty folder, outside of those that only its user may enter.
        settings: of PostgreSQL's, beyond the defaults.
    """

    def __init__(self, folder: Path, **settings: str | int) -> None:
        self.programs, self.data, self.port = binaries(), folder / "data", free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.settings = settings
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            folder.chmod(0o755)
            self.user = {"user": "nobody"}
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "--auth", "trust", "-E", "UTF8", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", **self.user
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": self.data.parent, **self.settings}
        options = " ".join([f"-p {self.port}", *(f"-c {name}={value}" for name, value in settings.items())])
        self._run("pg_ctl", "-D", str(self.data), "-o", options, "-l", str(self.data.parent / "log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: at once, as if the machine had lost its power, or by another mode of pg_ctl's."""
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def processes(self) -> list[int]:
        """Return its processes, the postmaster first."""
        return family(int((self.data / "postmaster.pid").read_text().split()[0]))

    def kill(self) -> None:
        """Kill all of its processes with SIGKILL, and wait until they have ended."""
        processes = self._stand_still()
        send(processes, signal.SIGKILL)
        eventually(lambda: all(map(has_ended, processes)), "the processes' end")
        # They name a process that is still there for as long as nobody takes note of its end.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        (self.data.parent / f".s.PGSQL.{self.port}.lock").unlink(missing_ok=True)

    def freeze(self) -> None:
        """Stop all of its processes where they are: it takes connections, and answers none."""
        self._stand_still()

    def thaw(self) -> None:
        """Let it go on."""
        send(self.processes(), signal.SIGCONT)

    def _stand_still(self) -> list[int]:
        """Stop all of its processes where they are, the one that starts others first; return them."""
        [postmaster, *_] = self.processes()
        os.kill(postmaster, signal.SIGSTOP)
        eventually(lambda: state(postmaster) == "T", "the postmaster's standstill")
        processes = self.processes()
        send(processes, signal.SIGSTOP)
        return processes

    def take_all_connections(self) -> list[psycopg.Connection[Any]]:
        """Take every connection that the server gives, those of other programs too. Who has them closes them."""
        taken: list[psycopg.Connection[Any]] = []
        others = (
            "SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity"
            " WHERE application_name <> 'taken' AND backend_type = 'client backend'"
        )

        def nobody_else_has_one() -> bool:
            try:
                while True:
                    taken.append(psycopg.connect(self.url, autocommit=True, application_name="taken"))
            except psycopg.OperationalError:
                time.sleep(LOOK_SECONDS)
                return bool(taken) and taken[0].execute(others).fetchone() == (0,)

        eventually(lambda: all(nobody_else_has_one() for _ in range(LOOKS)), "all connections")
        return taken


# --- What may happen to one: each is done to it, and returns what undoes it ---------------------------


def killed(postgres: Postgres) -> Callable[[], None]:
    """Kill it; return what starts it."""
    postgres.kill()
    return postgres.start


def stopped(postgres: Postgres) -> Callable[[], None]:
    """Stop it; return what starts it."""
    postgres.stop("fast")
    return postgres.start


def frozen(postgres: Postgres) -> Callable[[], None]:
    """Freeze it; return what thaws it."""
    postgres.freeze()
    return postgres.thaw


def out_of_connections(postgres: Postgres) -> Callable[[], None]:
    """Take all its connections; return what gives them back."""
    taken = postgres.take_all_connections()

    def give_back() -> None:
        for connection in taken:
            connection.close()

    return give_back


FAULTS = (killed, stopped, frozen, out_of_connections)

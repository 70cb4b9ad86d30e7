"""The keeper: the process that starts a PostgreSQL server, and stops it when its last user has gone.

It stands apart from the program that needed the server first, so that others may go on when that one ends,
and so that even a `kill -9` of them all leaves no server behind. It is run by `server`, as

    python -m config.embedded_postgres.keeper ROOT BIN

ROOT is the folder that holds `data/`, the lock files and the log; BIN holds PostgreSQL's programs. It writes
one line to standard output, "ready" or what failed.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from config.embedded_postgres import account, locks

READY = "ready"
SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 103  # bytes; the system's limit, of macOS here, is lower than Linux's 107

# Seconds between two looks at whether the server lives and is used.
_PAUSE = 0.05
# Seconds; recovery after a crash reads the log of all that wasn't yet written, which can take a while.
_START_LIMIT = 300
_STOP_LIMIT = 60
# Seconds; programs that are leaving hold the keeper's lock for a moment, to look at it.
_LOCK_LIMIT = 1
_PARAMETERS = {
    "listen_addresses": "",  # the Unix socket only, in a folder that is closed to others
    "port": "5432",  # or else PGPORT would change it
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class KeeperError(Exception):
    """The server can't be started. The message is one line."""


@dataclass(frozen=True)
class Postmaster:
    """What PostgreSQL's `postmaster.pid` says of a server.

    Args:
        pid: its process id.
        socket_folder: where its Unix socket is; None as long as it hasn't said.
        status: "starting", "ready", "stopping", …; empty as long as it hasn't said.
    """

    pid: int
    socket_folder: Path | None
    status: str

    @classmethod
    def read(cls, data: Path) -> "Postmaster | None":
        """The server of the folder `data` as its file describes it, alive or not; None without a file."""
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if not lines or not lines[0].strip().isdigit():
            return None
        lines += [""] * (8 - len(lines))
        return cls(int(lines[0]), Path(lines[4].strip()) if lines[4].strip() else None, lines[7].strip())

    def is_ready(self) -> bool:
        """Whether it says that it takes connections, and its socket is where it says."""
        return self.status == READY and self.socket_folder is not None and (self.socket_folder / SOCKET_NAME).exists()


def _arguments(pid: int) -> list[str]:
    """The command line of the process `pid`; empty when it is gone, or dead and not yet buried."""
    if sys.platform == "linux":
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
        except (FileNotFoundError, ProcessLookupError):
            return []
    # ps writes the arguments as one text, so what can be told apart is told by its neighbours.
    command = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    listing = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 (no text from outside)
    return re.split(r" -D | -c |\n", listing.stdout)


class Keeper:
    """Keeps one server, of the data folder `root/data`, with the programs in `bin_folder`."""

    def __init__(self, root: Path, bin_folder: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.log = root / "server.log"
        self.bin = bin_folder
        self.child: subprocess.Popen[bytes] | None = None
        self.socket_folder: Path | None = None

    def run(self) -> None:
        """Start the server, or take over one that a killed keeper left; stop it after its last user."""
        lock = locks.open_lock(self.root / "keeper.lock")
        deadline = time.monotonic() + _LOCK_LIMIT
        while not locks.try_lock(lock):
            if time.monotonic() > deadline:
                # Another keeper's, which somebody started and didn't live to see.
                _tell(READY)
                return
            time.sleep(_PAUSE)
        try:
            server = self._take_over() or self._start()
            _tell(READY)
            self._wait_for_last_user(server)
        finally:
            self._stop()
            os.close(lock)

    def _take_over(self) -> Postmaster | None:
        """A server that runs without a keeper, if it is whole; one that isn't is stopped."""
        server = Postmaster.read(self.data)
        if server is None:
            return None
        if not self._runs(server.pid):
            if _arguments(server.pid):
                # PostgreSQL would take the stranger for a server and refuse to start. Otherwise it
                # judges the stale file itself, and better than we could.
                (self.data / "postmaster.pid").unlink()
            _remove_socket_folder(server.socket_folder)
            return None
        if server.is_ready():
            self.socket_folder = server.socket_folder
            return server
        self._stop()
        return None

    def _start(self) -> Postmaster:
        """Start a server, on a new data folder if there is none yet."""
        runner = account.choose(self.data, postgres=self.bin / "postgres")
        if not (self.data / "PG_VERSION").exists():
            self._make_data(runner)
        self.socket_folder = _make_socket_folder(runner)
        if self.log.exists() and self.log.stat().st_size > 10_000_000:
            self.log.replace(self.log.with_suffix(".log.1"))
        parameters = {**_PARAMETERS, "unix_socket_directories": str(self.socket_folder)}
        command = [*runner.prefix, str(self.bin / "postgres"), "-D", str(self.data)]
        for name, value in parameters.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            begin = log.tell()
            self.child = subprocess.Popen(  # noqa: S603 (our own arguments, and no shell)
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_ENVIRONMENT, cwd="/"
            )
        deadline = time.monotonic() + _START_LIMIT
        while self.child.poll() is None and time.monotonic() < deadline:
            server = Postmaster.read(self.data)
            if server is not None and server.pid == self.child.pid and server.is_ready():
                return server
            time.sleep(_PAUSE / 5)
        raise KeeperError(f"PostgreSQL doesn't start: {self._complaint(begin)} (its log: {self.log})")

    def _make_data(self, runner: account.Account) -> None:
        """Make a new data folder; under another name first, lest a half-made one be taken for whole."""
        draft = self.root / "data.new"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        runner.own(draft)
        command = [*runner.prefix, str(self.bin / "initdb"), "-D", str(draft), "-U", "postgres"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C"]
        # The same order of words on every machine, whatever languages it knows.
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        made = subprocess.run(  # noqa: S603 (our own arguments, and no shell)
            command, capture_output=True, text=True, env=_ENVIRONMENT, cwd="/"
        )
        if made.returncode != 0:
            raise KeeperError(f"PostgreSQL can't make its data folder: {made.stderr or made.stdout}")
        draft.rename(self.data)

    def _complaint(self, begin: int) -> str:
        """Why the server ended, by what stands in its log behind the byte `begin`."""
        text = self.log.read_bytes()[begin:].decode(errors="replace")
        parts = [
            line.split(mark, 1)[1].strip()
            for line in text.splitlines()
            for mark in ("FATAL:", "PANIC:", "DETAIL:", "HINT:")
            if mark in line
        ]
        return "; ".join(parts) or (text.strip().splitlines() or ["it says nothing"])[-1]

    def _wait_for_last_user(self, server: Postmaster) -> None:
        """Return when the server has been stopped because nobody uses it any more, or has ended by itself."""
        users = locks.open_lock(self.root / "users.lock")
        while self._runs(server.pid):
            if locks.try_lock(users):
                # Let go, to take the locks in the order in which new users take them; then look again.
                locks.unlock(users)
                with locks.exclusive(self.root / "start.lock"):
                    if locks.try_lock(users):
                        self._stop()
                        return
            time.sleep(_PAUSE)

    def _runs(self, pid: int) -> bool:
        """Whether the server with the process id `pid` still runs."""
        if self.child is not None and self.child.pid == pid:
            return self.child.poll() is None
        return str(self.data) in _arguments(pid)

    def _stop(self) -> None:
        """Stop the server, if it runs, after a checkpoint; one that doesn't heed is stopped without."""
        server = Postmaster.read(self.data)
        pid = self.child.pid if self.child is not None else server.pid if server is not None else None
        for how in (signal.SIGINT, signal.SIGQUIT):
            if pid is None or not self._runs(pid):
                break
            os.kill(pid, how)
            deadline = time.monotonic() + _STOP_LIMIT
            while self._runs(pid) and time.monotonic() < deadline:
                time.sleep(_PAUSE / 5)
        # What tells the programs that this server is no more.
        _remove_socket_folder(self.socket_folder or (server.socket_folder if server else None))


# Nothing of ours: PGDATA, PGOPTIONS or a language would change what the programs do and say.
_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
_SOCKET_FOLDER_PREFIX = "muster-postgres-"


def _make_socket_folder(runner: account.Account) -> Path:
    """A new folder for the socket, closed to other users, with a path short enough for one.

    The data folder's own path may be too long. The name is new each time, because a known name in a folder
    that all may write could be taken by somebody else first.
    """
    for parent in ("/tmp", tempfile.gettempdir()):  # noqa: S108 (mkdtemp makes the name)
        longest = Path(parent, f"{_SOCKET_FOLDER_PREFIX}12345678", f"{SOCKET_NAME}.lock")
        if os.access(parent, os.W_OK) and len(os.fsencode(longest)) <= LONGEST_SOCKET_PATH:
            folder = Path(tempfile.mkdtemp(prefix=_SOCKET_FOLDER_PREFIX, dir=parent))
            runner.own(folder)
            return folder
    raise KeeperError("no folder for temporary files can be written and has a path short enough for a socket")


def _remove_socket_folder(folder: Path | None) -> None:
    """Remove the folder of a server that has gone, if it is one of ours and still there."""
    if folder is not None and folder.name.startswith(_SOCKET_FOLDER_PREFIX) and folder.is_dir():
        shutil.rmtree(folder)


def _tell(message: str) -> None:
    """Answer the process that waits for the server, if it still waits."""
    try:
        sys.stdout.write(" ".join(message.split()) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # It was killed meanwhile. Its lock is gone too, so the server is stopped in due course.
        pass
    finally:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _end(number: int, frame: FrameType | None) -> None:
    """End in good order: `finally` stops the server."""
    sys.exit(0)


def main() -> None:
    """Run the keeper of the command line."""
    signal.signal(signal.SIGTERM, _end)
    root, bin_folder = map(Path, sys.argv[1:])
    try:
        Keeper(root, bin_folder).run()
    except (KeeperError, account.AccountError) as error:
        _tell(str(error))
        sys.exit(1)
    except OSError as error:
        _tell(f"the embedded PostgreSQL of {root} can't be started: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()

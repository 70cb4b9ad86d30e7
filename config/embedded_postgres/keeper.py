"""The keeper: the process that starts a PostgreSQL server, and stops it when its last user has gone.

It stands apart from the program that needed the server first, so that others may go on when that one ends,
and so that even a `kill -9` of them all leaves no server behind. It is run by `server`, as

    python -m config.embedded_postgres.keeper ROOT BIN

ROOT is the folder that holds `data/`, the lock files and the log; BIN holds PostgreSQL's programs. It writes one
line to standard output, "ready" or what failed.
"""

import os
import shutil
import signal
import socket
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
        """The server of the data folder `data` as its file describes it, be it alive or not; None without one."""
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if not lines or not lines[0].strip().isdigit():
            return None
        lines += [""] * (8 - len(lines))
        return cls(int(lines[0]), Path(lines[4].strip()) if lines[4].strip() else None, lines[7].strip())

    def lives(self, data: Path) -> bool:
        """Whether its process runs, and is a server of `data` rather than one that got a dead one's number."""
        return str(data) in _arguments(self.pid)

    def answers(self) -> bool:
        """Whether it takes connections at its socket."""
        if self.status != READY or self.socket_folder is None:
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket_folder / SOCKET_NAME)) == 0


def _arguments(pid: int) -> list[str]:
    """The command line of the process `pid`; empty when it is gone, or dead and not yet buried."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            return []
    listing = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True)
    return listing.stdout.strip().split(" -D ")[-1].split(" -c ")[:1]


class Keeper:
    """Keeps one server, of the data folder `root/data`, with the programs in `bin_folder`."""

    def __init__(self, root: Path, bin_folder: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.log = root / "server.log"
        self.bin = bin_folder
        self.child: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Start the server, or take over one that a killed keeper left; stop it after its last user."""
        lock = locks.open_lock(self.root / "keeper.lock")
        if not locks.try_lock(lock):
            raise KeeperError("another keeper is at work")
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
        if not server.lives(self.data):
            if _arguments(server.pid):
                # PostgreSQL would take the stranger for a server and refuse to start. Otherwise it
                # judges the stale file itself, and better than we could.
                (self.data / "postmaster.pid").unlink()
            _remove_socket_folder(server)
            return None
        if server.answers():
            return server
        self._stop()
        return None

    def _start(self) -> Postmaster:
        """Start a server, on a new data folder if there is none yet."""
        runner = account.choose(self.data, postgres=self.bin / "postgres")
        if not (self.data / "PG_VERSION").exists():
            self._make_data(runner)
        sockets = _make_socket_folder(runner)
        if self.log.exists() and self.log.stat().st_size > 10_000_000:
            self.log.replace(self.log.with_suffix(".log.1"))
        parameters = {**_PARAMETERS, "unix_socket_directories": str(sockets)}
        command = [*runner.prefix, str(self.bin / "postgres"), "-D", str(self.data)]
        for name, value in parameters.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            begin = log.tell()
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_ENVIRONMENT, cwd="/"
            )
        deadline = time.monotonic() + _START_LIMIT
        while self.child.poll() is None and time.monotonic() < deadline:
            server = Postmaster.read(self.data)
            if server is not None and server.pid == self.child.pid and server.answers():
                return server
            time.sleep(_PAUSE / 5)
        shutil.rmtree(sockets)
        raise KeeperError(f"PostgreSQL doesn't start: {self._complaint(begin)} (its log: {self.log})")

    def _make_data(self, runner: account.Account) -> None:
        """Make a new data folder; under another name first, so that a half-made one is never taken for whole."""
        draft = self.root / "data.new"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        runner.own(draft)
        command = [*runner.prefix, str(self.bin / "initdb"), "-D", str(draft), "-U", "postgres"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C"]
        # The same order of words on every machine, whatever languages it knows.
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        made = subprocess.run(command, capture_output=True, text=True, env=_ENVIRONMENT, cwd="/")
        if made.returncode != 0:
            reason = (made.stderr.strip() or made.stdout.strip()).splitlines()
            raise KeeperError(f"PostgreSQL can't make its data folder: {reason[0] if reason else 'no reason told'}")
        draft.rename(self.data)

    def _complaint(self, begin: int) -> str:
        """The last FATAL message in the log behind the byte `begin`, with its hint if it has one."""
        text = self.log.read_bytes()[begin:].decode(errors="replace")
        parts = [
            line.split(mark, 1)[1].strip()
            for line in text.splitlines()
            for mark in ("FATAL:", "PANIC:", "DETAIL:", "HINT:")
            if mark in line
        ]
        return "; ".join(parts) or (text.strip().splitlines() or ["it says nothing"])[-1]

    def _wait_for_last_user(self, server: Postmaster) -> None:
        """Return when nobody uses the server any more, or it has ended by itself; then nobody can start one."""
        users = locks.open_lock(self.root / "users.lock")
        while self._runs(server):
            if locks.try_lock(users):
                # Let go, to take the locks in the order in which new users take them; then look again.
                locks.unlock(users)
                with locks.exclusive(self.root / "start.lock"):
                    if locks.try_lock(users):
                        self._stop()
                        return
            time.sleep(_PAUSE)

    def _runs(self, server: Postmaster) -> bool:
        """Whether the server still runs."""
        return self.child.poll() is None if self.child else server.lives(self.data)

    def _stop(self) -> None:
        """Stop the server, if it runs, after a checkpoint; one that doesn't heed is stopped without."""
        server = Postmaster.read(self.data)
        if server is None or not server.lives(self.data):
            return
        for how, limit in ((signal.SIGINT, _STOP_LIMIT), (signal.SIGQUIT, _STOP_LIMIT)):
            os.kill(server.pid, how)
            deadline = time.monotonic() + limit
            while self._runs(server) and time.monotonic() < deadline:
                time.sleep(_PAUSE / 5)
            if not self._runs(server):
                break
        _remove_socket_folder(server)


# Nothing of ours: PGDATA, PGOPTIONS or a language would change what the programs do and say.
_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
_SOCKET_FOLDER_PREFIX = "muster-postgres-"


def _make_socket_folder(runner: account.Account) -> Path:
    """A new folder for the socket, closed to other users, with a path short enough for one.

    The data folder's own path may be too long. The name is new each time, because a known name in a folder
    that all may write could be taken by somebody else first.
    """
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 (mkdtemp makes the name)
        if len(os.fsencode(parent)) + len(_SOCKET_FOLDER_PREFIX) + 10 + len(SOCKET_NAME) < LONGEST_SOCKET_PATH:
            folder = Path(tempfile.mkdtemp(prefix=_SOCKET_FOLDER_PREFIX, dir=parent))
            runner.own(folder)
            return folder
    raise KeeperError("no folder for temporary files has a path short enough for a socket")


def _remove_socket_folder(server: Postmaster) -> None:
    """Remove the folder of a server that has gone, if it is one of ours and still there."""
    folder = server.socket_folder
    if folder is not None and folder.name.startswith(_SOCKET_FOLDER_PREFIX) and folder.is_dir():
        shutil.rmtree(folder)


def _tell(message: str) -> None:
    """Answer the process that waits for the server, if it still waits."""
    try:
        sys.stdout.write(f"{message}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # It was killed meanwhile. Its lock is gone too, so the server is stopped in due course.
        pass
    finally:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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


if __name__ == "__main__":
    main()

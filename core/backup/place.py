"""Where a database is, and the PostgreSQL programs that are told so without a secret on their command line."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import psycopg
from django.conf import settings
from django.db import connection
from psycopg.pq import Conninfo

from config.embedded_postgres.server import binaries
from core.backup.errors import BackupError

# A backup lasts as long as it lasts, and its snapshot's transaction is idle while pg_dump works.
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
COMPLAINT_LINES = 6


@dataclass(frozen=True)
class Place:
    """A database.

    Args:
        parameters: libpq's parameters, by keyword; they may hold the password.
        programs: the folder of PostgreSQL's programs; None: they are looked for on the PATH.
    """

    parameters: Mapping[str, str] = field(repr=False)
    programs: Path | None = None

    @property
    def name(self) -> str:
        """Return the database's name."""
        return self.parameters["dbname"]

    def beside(self, name: str) -> "Place":
        """Return another database of the same server."""
        return replace(self, parameters={**self.parameters, "dbname": name})

    def connect(self) -> psycopg.Connection[Any]:
        """Return a new connection in autocommit mode, without time limits."""
        direct = psycopg.connect(**dict(self.parameters), autocommit=True)  # type: ignore[arg-type]
        direct.execute("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY (%s)", [list(TIMEOUTS)])
        return direct

    def program(self, name: str, *, at_least: int) -> str:
        """Return the path of ``pg_dump`` or its like.

        Args:
            name: the program's name.
            at_least: the oldest major version that will do.

        Raises:
            BackupError: it isn't there, doesn't run, or is too old.
        """
        path = str(self.programs / name) if self.programs else shutil.which(name)
        remedy = f"Install PostgreSQL's client programs of version {at_least} or newer (postgresql-client-{at_least})."
        if path is None:
            raise BackupError(f"{name} isn't on the PATH. {remedy}")
        try:
            printed = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            raise BackupError(f"{path} doesn't run: {error}. {remedy}") from error
        version = re.search(r"\) (\d+)", printed)
        if version is None or int(version[1]) < at_least:
            raise BackupError(f"{printed.strip()} ({path}) is too old for what it is to work with. {remedy}")
        return path

    @contextmanager
    def run(self, command: list[str], *, writes_to: int | IO[bytes], reads: bool) -> Iterator["Run"]:
        """Run a program on the database, as a context; it doesn't outlive it.

        The place travels in environment variables, and the password in a file that only this user can read: the
        command line and, to other users, the environment show no secret.

        Args:
            command: the program's path and arguments.
            writes_to: where its output goes: subprocess.PIPE, or a file.
            reads: whether it is to be fed by its standard input.
        """
        with tempfile.TemporaryDirectory(prefix="muster-") as private, tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(  # noqa: S603 (our own arguments, and no shell)
                command,
                stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
                stdout=writes_to,
                stderr=complaints,
                env=self._environment(Path(private)),
            )
            try:
                yield Run(Path(command[0]).name, process, complaints)
            finally:
                if process.poll() is None:
                    process.kill()
                for stream in (process.stdin, process.stdout):
                    if stream is not None and not stream.closed:
                        _close(stream)
                process.wait()

    def _environment(self, private: Path) -> dict[str, str]:
        """Return the environment that names the place; the password goes to a file in ``private``."""
        variables = {option.keyword.decode(): option.envvar for option in Conninfo.get_defaults()}
        environment = {**os.environ, "LC_MESSAGES": "C"}
        for keyword, value in self.parameters.items():
            if keyword == "password":
                path = private / "pgpass"
                escaped = value.replace("\\", "\\\\").replace(":", "\\:")
                path.touch(mode=0o600)
                path.write_text(f"*:*:*:*:{escaped}\n")
                environment.pop("PGPASSWORD", None)
                environment["PGPASSFILE"] = str(path)
            elif keyword == "sslpassword":
                raise BackupError("sslpassword has no way to PostgreSQL's programs: use a key without a password.")
            elif variable := variables.get(keyword):
                environment[variable.decode()] = value
        return environment


def _close(stream: IO[bytes]) -> None:
    """Close a pipe; what its end no longer reads is lost."""
    with suppress(BrokenPipeError):  # the process has ended, and its status tells more
        stream.close()


@dataclass
class Run:
    """A program at work."""

    name: str
    process: "subprocess.Popen[bytes]"
    complaints: IO[bytes]

    def check(self) -> None:
        """Wait for its end.

        Raises:
            BackupError: it failed; with what it said.
        """
        if self.process.wait() != 0:
            self.complaints.seek(0)
            said = self.complaints.read().decode(errors="replace").strip().splitlines()
            reason = "\n".join(said[:COMPLAINT_LINES]) or f"it ended with status {self.process.returncode}"
            raise BackupError(f"{self.name} failed: {reason}")


def configured() -> Place:
    """Return the database of the settings; the embedded server is started, and its database made, if need be."""
    wrapper: Any = connection
    parameters = wrapper.get_connection_params()
    wrapper.reach_database(parameters)
    keywords = {option.keyword.decode() for option in Conninfo.get_defaults()}
    return Place(
        {key: str(value) for key, value in parameters.items() if key in keywords and value not in (None, "")},
        programs=binaries() if settings.EMBEDDED else None,
    )

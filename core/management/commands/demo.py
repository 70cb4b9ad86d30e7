"""``manage.py demo``: from nothing to a served admin and API."""

import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections
from psycopg import sql

from config.embedded_postgres.server import server_uri
from core import demo
from core.errors import ConflictError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STEPS = 5
THREADS = 4
JOBS_AT_ONCE = 3  # of which one isn't for documents
LAST_PORT = 65535
# Seconds.
START_LIMIT = 60
STOP_LIMIT = 10
PAUSE = 0.05
WATCH_PAUSE = 0.5
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (names them, binds none)


class Command(BaseCommand):
    """Starts the database, migrates, seeds, makes a login and a key, and serves until it is stopped."""

    help = "Show Muster: prepare a database with a demo story, serve it, and print how to come in."
    requires_system_checks: list[str] = []
    step = 0

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("--host", default="127.0.0.1", help="The address to serve on (default: %(default)s).")
        parser.add_argument("--port", type=_port, default=8000, help="The port to serve on (default: %(default)s).")
        parser.add_argument(
            "--fresh", action="store_true", help="Delete the embedded database first, with all that is in it."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, serve, and stop all that was started when told to."""
        for number in STOP_SIGNALS:
            signal.signal(number, _interrupt)
        try:
            self._run(options["host"], options["port"], fresh=options["fresh"])
        except KeyboardInterrupt:
            self.stdout.write("\nStopped.")

    def _run(self, host: str, port: int, *, fresh: bool) -> None:
        refuse_taken_port(host, port)
        self._announce_database(fresh)
        with self._progress("Start the database"):
            if fresh:
                _drop_database()
            connection.ensure_connection()
        with self._progress("Make the tables"):
            call_command("migrate", verbosity=0, interactive=False)
        with self._progress("Load the demo story"):
            if not settings.EMBEDDED and demo.is_strangers():
                raise CommandError(
                    "The configured database holds other organizations than the story's. Name an empty one,"
                    " or none at all: then the demo keeps its own."
                )
            try:
                demo.load()
            except ConflictError as error:
                raise CommandError(str(error)) from error
        with self._progress("Make a login and an API key"):
            credentials = demo.credentials(settings.DATA_DIR / "demo.json")
        connections["default"].close_pool()  # type: ignore[attr-defined]
        connection.close()
        with working() as worker, serving(host, port) as server:
            with self._progress("Start web server and worker"):
                address = _address(host, port)
                _wait_until_served(server, address)
            self._invite(address, credentials)
            ended, status = _first_to_end({"web server": server, "worker": worker})
        raise CommandError(f"The {ended} ended by itself, with status {status}.")

    def _announce_database(self, fresh: bool) -> None:
        """Say which database will be used, and refuse what would be rash there."""
        if settings.EMBEDDED:
            # Told here in the demo's own words.
            logging.getLogger("config.embedded_postgres").setLevel(logging.WARNING)
            self.stdout.write(f"No database is configured: PostgreSQL keeps the demo in {settings.DATA_DIR}.")
            return
        database = settings.DATABASES["default"]
        name = f"{database['NAME']} on {database['HOST']}:{database['PORT']}"
        if fresh:
            raise CommandError(f"--fresh deletes only the embedded database, and {name} is configured.")
        if not settings.DEBUG:
            raise CommandError(
                f"{name} is configured and DEBUG is off, so this would be a production server, over HTTPS only."
                " For a demo on that database, set DEBUG=1."
            )
        self.stdout.write(
            f"The database {name} is configured. It will be migrated, and given the demo story and a superuser."
        )

    @contextmanager
    def _progress(self, title: str) -> Iterator[None]:
        """Print the step's number and title, and its duration when it is done."""
        self.step += 1
        self.stdout.write(f"[{self.step}/{STEPS}] {title:30}", ending="")
        self.stdout.flush()
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self.stdout.write("")
            raise
        self.stdout.write(f"{time.monotonic() - began:5.1f} s")

    def _invite(self, address: str, credentials: demo.Credentials) -> None:
        """Print how to come in."""
        self.stdout.write(
            f"\n  Admin      {address}/admin/\n"
            f"  Email      {credentials.email}\n"
            f"  Password   {credentials.password}\n\n"
            f"  API        {address}/api/docs/\n"
            f"  API key    {credentials.api_key}\n"
            f'  Try        curl -H "Authorization: Bearer {credentials.api_key}" {address}/api/v1/memberships/\n\n'
            "Ctrl-C stops it all; the next start goes on with the same data."
        )
        self.stdout.flush()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def refuse_taken_port(host: str, port: int) -> None:
    """See that the port can be had, before anything is started.

    Raises:
        CommandError: another program has it, or this address or port can't be had at all.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            # As servers do, lest connections that were closed a moment ago count.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            another = port + 1 if 1024 <= port < LAST_PORT else 8000
            message = f"Port {port} can't be had: {reason}. Choose another one: manage.py demo --port {another}"
        else:
            message = f"The address {host} can't be had: {reason}. Choose another one by --host."
        raise CommandError(message) from error


def _port(text: str) -> int:
    """Parse a port number."""
    if not text.isdecimal() or not 1 <= int(text) <= LAST_PORT:
        raise ArgumentTypeError(f"{text!r} is no port number; those go from 1 to {LAST_PORT}")
    return int(text)


def _drop_database() -> None:
    """Delete the embedded server's database; Django's backend makes it again."""
    name = sql.Identifier(settings.DATABASES["default"]["NAME"])
    with psycopg.connect(server_uri("postgres"), autocommit=True) as maintenance:
        maintenance.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


@contextmanager
def serving(host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the web server for the time of a ``with`` block, and stop it afterwards, whatever happens."""
    command = [sys.executable, "-m", "granian", "config.wsgi:application", "--interface", "wsgi"]
    command += ["--host", host, "--port", str(port), "--workers", "1", "--blocking-threads", str(THREADS)]
    command += ["--no-ws", "--log-level", "warning", "--workers-kill-timeout", str(STOP_LIMIT // 2)]
    with _running(command, _environment(host)) as server:
        yield server


@contextmanager
def working() -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker likewise."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "worker"]
    command += ["--concurrency", str(JOBS_AT_ONCE), "--grace", str(STOP_LIMIT // 2)]
    with _running(command, {**os.environ, "LOG_LEVEL": _log_level()}) as worker:
        yield worker


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603 (our own arguments, and no shell)
        command,
        cwd=settings.BASE_DIR,
        env=environment,
        start_new_session=True,  # Ctrl-C is for us, who pass it on
    )
    try:
        yield process
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        _stop(process)


def _first_to_end(processes: dict[str, subprocess.Popen[bytes]]) -> tuple[str, int]:
    """Wait until one of the processes ends, and return its name and status."""
    while True:
        for name, process in processes.items():
            with suppress(subprocess.TimeoutExpired):
                return name, process.wait(WATCH_PAUSE)


def _log_level() -> str:
    return os.environ.get("LOG_LEVEL") or "WARNING"


def _environment(host: str) -> dict[str, str]:
    """The web server's environment: quieter, and answering to the host that it serves on."""
    hosts = {*settings.ALLOWED_HOSTS, f"[{host}]" if ":" in host else host}
    if host in EVERY_ADDRESS:
        hosts.add(socket.gethostname())
        with suppress(OSError):  # a name that leads nowhere is of no use to others either
            hosts |= set(socket.gethostbyname_ex(socket.gethostname())[2])
    return {**os.environ, "LOG_LEVEL": _log_level(), "ALLOWED_HOSTS": ",".join(sorted(hosts))}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let a process finish what it is at, and end; kill it, and its children with it, if it won't."""
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _address(host: str, port: int) -> str:
    """Return the address under which this machine reaches the server."""
    host = EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _wait_until_served(server: subprocess.Popen[bytes], address: str) -> None:
    """Return as soon as the login page is served.

    Raises:
        CommandError: the web server has ended, or answers nothing or an error.
    """
    deadline = time.monotonic() + START_LIMIT
    failure = "no answer"
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/admin/login/", timeout=START_LIMIT):  # noqa: S310 (our own address)
                return
        except urllib.error.HTTPError as error:
            raise CommandError(f"The web server answers with status {error.code}.") from error
        except OSError as error:
            failure = str(error)
        time.sleep(PAUSE)
    raise CommandError(f"The web server doesn't start ({failure}).")

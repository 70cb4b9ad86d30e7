"""`manage.py demo`, as a newcomer types it: from an empty folder to a served admin and API, and back to nothing."""

import json
import os
import re
import signal
import stat
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.commands.conftest import Installation
from tests.factories.core import OrganizationFactory
from tests.kit.postgres import free_port
from tests.kit.processes import web_workers
from tests.kit.waiting import PATIENCE, eventually


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Give the tests' process its signal handlers back: the command takes them for as long as a program lives."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Demo:
    """A running demo."""

    def __init__(self, installation: Installation, port: int, *arguments: str) -> None:
        self.process = installation.start("demo", "--port", str(port), *arguments)
        self.folder = Path(installation.variables["DATA_DIR"])
        self.address = f"http://127.0.0.1:{port}"
        self.printed = ""

    def read_until(self, text: str) -> None:
        """Read what the demo prints up to the line that holds `text`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            if text in line:
                return
        raise AssertionError(f"{text!r} was not printed: {self.printed} {self.process.communicate()[1]}")

    def field(self, name: str) -> str:
        """What the demo printed behind a word."""
        found = re.search(rf"^ +{name} +(\S+)$", self.printed, re.M)
        assert found, self.printed
        return found[1]

    def get(self, path: str, key: str | None = None) -> tuple[int, Any]:
        """The status and the JSON of an answer by the API."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        request = urllib.request.Request(self.address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def log_in(self, email: str, password: str) -> str:
        """Log in to the admin by its form, and return the page that follows."""
        jar = CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        address = f"{self.address}/admin/login/?next=/admin/"
        browser.open(address, timeout=PATIENCE).close()
        token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
        form = {"username": email, "password": password, "csrfmiddlewaretoken": token, "next": "/admin/"}
        with browser.open(address, urllib.parse.urlencode(form).encode(), timeout=PATIENCE) as page:
            assert page.url == f"{self.address}/admin/"
            return page.read().decode()

    def web_server(self) -> int:
        """The process id of the web server."""
        (found,) = web_workers(self.process.pid)
        return found

    def stop(self, number: signal.Signals) -> None:
        """Send a signal; the demo must end well, and leave no process."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, err
        assert out.endswith("\nStopped.\n")
        assert "Traceback" not in err
        eventually(lambda: not processes(self.folder), "the end of all processes")


def processes(folder: Path) -> list[str]:
    """The command lines of all processes that were told of the data folder, by argument or by environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if bytes(folder) in line + environment:
            found.append(line.replace(b"\0", b" ").decode())
    return found


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation({"DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
def start(installation: Installation) -> Iterator[Any]:
    """Starts demos; none outlives its test."""
    demos: list[Demo] = []

    def start_demo(*arguments: str, port: int | None = None) -> Demo:
        demos.append(Demo(installation, port or free_port(), *arguments))
        return demos[-1]

    yield start_demo
    for demo in demos:
        if demo.process.poll() is None:
            demo.process.terminate()
        demo.process.communicate(timeout=PATIENCE)


def test_from_nothing_to_a_served_page_and_again(start: Any, installation: Installation) -> None:
    port = free_port()
    first = start(port=port)
    first.read_until("Ctrl-C")
    assert re.findall(r"^\[(\d)/5\] .*\d\.\d s$", first.printed, re.M) == ["1", "2", "3", "4", "5"]
    email, password, key = first.field("Email"), first.field("Password"), first.field("API key")
    assert first.field("Admin") == f"{first.address}/admin/"
    assert "log out" in first.log_in(email, password).lower()
    status, members = first.get("/api/v1/memberships/", key)
    assert (status, len(members["results"])) == (200, 6)
    assert first.get("/api/v1/memberships/")[0] == 401
    command = re.search(r"Try +(curl .*)$", first.printed, re.M)
    assert command
    assert f'"Authorization: Bearer {key}" {first.address}/api/v1/' in command[1]
    assert stat.S_IMODE((first.folder / "demo.json").stat().st_mode) == 0o600

    taken = installation.manage("demo", "--port", str(port))
    assert (taken.returncode, taken.stdout) == (1, "")
    assert taken.stderr == (
        f"CommandError: Port {port} can't be had: address already in use."
        f" Choose another one: manage.py demo --port {port + 1}\n"
    )
    first.stop(signal.SIGINT)

    second = start()
    second.read_until("Ctrl-C")
    assert (second.field("Email"), second.field("Password"), second.field("API key")) == (email, password, key)
    assert second.get("/api/v1/memberships/", key) == (200, {**members, "next": None, "previous": None})
    second.stop(signal.SIGTERM)

    fresh = start("--fresh")
    fresh.read_until("Ctrl-C")
    assert fresh.get("/api/v1/memberships/", key)[0] == 401
    assert fresh.field("Password") != password
    assert len(fresh.get("/api/v1/memberships/", fresh.field("API key"))[1]["results"]) == 6

    os.kill(fresh.web_server(), signal.SIGTERM)
    _, complaint = fresh.process.communicate(timeout=PATIENCE)
    assert fresh.process.returncode == 1
    assert complaint.endswith("CommandError: The web server ended by itself, with status 0.\n")
    eventually(lambda: not processes(fresh.folder), "the end of all processes")


def test_it_can_be_stopped_while_it_prepares(start: Any) -> None:
    demo = start()
    demo.read_until("[1/5]")
    demo.stop(signal.SIGINT)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "0"], "argument --port: '0' is no port number; those go from 1 to 65535"),
        (["--port", "http"], "argument --port: 'http' is no port number; those go from 1 to 65535"),
        (["--host", "192.0.2.1"], "The address 192.0.2.1 can't be had: "),  # RFC 5737: nobody's
    ],
)
def test_a_place_that_cannot_be_had(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=re.escape(complaint)):
        call_command("demo", *arguments)


@pytest.fixture
def _configured(settings: Any) -> None:
    """A database that somebody configured: the tests' own."""
    settings.EMBEDDED, settings.DEBUG = False, True


@pytest.mark.django_db
@pytest.mark.usefixtures("_configured")
def test_a_configured_database_is_not_deleted() -> None:
    with pytest.raises(CommandError, match="--fresh deletes only the embedded database"):
        call_command("demo", "--fresh", "--port", str(free_port()))


@pytest.mark.django_db
@pytest.mark.usefixtures("_configured")
def test_a_configured_database_is_no_demo_in_production(settings: Any) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="For a demo on that database, set DEBUG=1"):
        call_command("demo", "--port", str(free_port()))


@pytest.mark.django_db
@pytest.mark.usefixtures("_configured")
def test_a_configured_database_that_serves_others_is_left_alone(writes_nothing: Any) -> None:
    OrganizationFactory()
    with writes_nothing(), pytest.raises(CommandError, match="holds other organizations than the story's"):
        call_command("demo", "--port", str(free_port()))

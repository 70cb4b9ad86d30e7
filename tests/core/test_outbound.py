"""Requests to addresses that users name reach nothing of ours, however the address is written or resolved."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from core import outbound
from core.outbound import Answer, Client, OutboundError, RefusedAddressError, check_url, may_reach
from tests.core.receiver import Received, Receiver, receiving
from tests.kit.waiting import PATIENCE


def post(url: str) -> Answer:
    """Post a word, as the dispatcher would."""

    async def run() -> Answer:
        async with Client() as client:
            return await client.post(url, content=b"word", headers={"Content-Type": "text/plain"})

    return asyncio.run(run())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as listening:
        yield listening


@pytest.fixture
def _open(settings: Any) -> None:
    """The operator lets requests come to this machine."""
    settings.OUTBOUND_ALLOW = [ip_network("127.0.0.0/8")]


# The port stands for one on which something listens that nobody from outside may reach.
PRIVATE = [
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://2130706433:{port}/",  # decimal
    "http://0x7f000001:{port}/",  # hexadecimal
    "http://0177.0.0.1:{port}/",  # octal
    "http://127.1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://127.8.9.10:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",  # IPv4-mapped
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",  # IPv4-compatible
    "http://[64:ff9b::7f00:1]:{port}/",  # NAT64
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",  # 6to4
    "http://[fe80::1]:{port}/",
    "http://[fc00::1]:{port}/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/machine",
    "http://100.100.100.200/latest/meta-data/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://198.18.0.1/",
    "http://192.0.2.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
]
HOSTILE = [
    "http://[fe80::1%25lo]:{port}/",
    "http://8.8.8.8/",  # public, but not by https
    "http://user:secret@127.0.0.1:{port}/",
    "http://example.org@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.org/",
    "http://127.0.0.1%00.example.org:{port}/",
    "http://127.0.0.1\r\nX: y/",
    "http://\uff11\uff12\uff17.0.0.1:{port}/",  # full-width digits
    "http:///hook",
    "//127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "unix:///var/run/docker.sock",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:99999/",
    "",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_a_private_address_is_not_reached_however_it_is_written(url: str, receiver: Receiver) -> None:
    with pytest.raises(RefusedAddressError, match="isn't public"):
        post(url.format(port=receiver.port))
    assert receiver.requests == []


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_address_is_not_reached(url: str, receiver: Receiver) -> None:
    with pytest.raises(OutboundError):
        post(url.format(port=receiver.port))
    assert receiver.requests == []


class Names:
    """A name server that lies: it answers what a test wants, the next time something else."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::a00:1"]])
def test_a_name_that_leads_inside_is_not_followed(
    answer: list[str], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(answer)
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", lambda loop, *args, **options: names.getaddrinfo(*args))
    with pytest.raises(RefusedAddressError, match="isn't public"):
        post(f"https://hook.example.org:{receiver.port}/")
    assert (names.asked, receiver.requests) == (1, [])


def test_a_name_that_changes_its_answer_is_asked_once_and_reached_where_it_was_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rebinding: the first answer is public, each later one is this machine."""
    names = Names(["8.8.8.8"], ["127.0.0.1"])
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", lambda loop, *args, **options: names.getaddrinfo(*args))
    reached: list[str] = []

    async def connect(backend: Any, host: str, port: int, *args: Any, **options: Any) -> Any:
        reached.append(host)
        raise outbound.httpcore.ConnectError("nobody there")

    monkeypatch.setattr(outbound.httpcore.AnyIOBackend, "connect_tcp", connect)
    with pytest.raises(OutboundError, match="can't be reached"):
        post("https://hook.example.org/")
    assert (names.asked, reached) == (1, ["8.8.8.8"])


@pytest.mark.usefixtures("_open")
def test_an_address_that_the_operator_opens_is_reached(receiver: Receiver) -> None:
    assert post(receiver.url("/hook?a=b")).status == 204
    [request] = receiver.requests
    assert (request.path, request.body) == ("/hook?a=b", b"word")
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.usefixtures("_open")
def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver) -> None:
    inside = f"http://127.0.0.1:{receiver.port}/inside"
    with receiving(lambda request: (302, {"Location": inside}, b"")) as outside:
        answer = post(outside.url())
    assert (answer.status, answer.headers["location"], receiver.requests) == (302, inside, [])


@pytest.mark.usefixtures("_open")
def test_four_kilobytes_of_an_endless_body_are_read() -> None:
    with receiving(lambda request: (200, {}, b"x" * 1_000_000)) as endless:
        assert post(endless.url()).body == b"x" * 4096


@pytest.mark.usefixtures("_open")
def test_a_receiver_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "WHOLE_SECONDS", 0.2)

    left = threading.Event()

    def silent(request: Received) -> tuple[int, dict[str, str], bytes]:
        left.wait(PATIENCE)
        return 200, {}, b""

    with receiving(silent) as slow:
        began = time.monotonic()
        with pytest.raises(OutboundError, match="No answer came"):
            post(slow.url())
        assert time.monotonic() - began < PATIENCE / 2
        left.set()


@pytest.mark.usefixtures("_open")
def test_what_is_no_http_or_no_tls_is_no_answer(receiver: Receiver) -> None:
    with pytest.raises(OutboundError, match="speaks no TLS"):
        post(f"https://127.0.0.1:{receiver.port}/")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(OutboundError, match="can't be reached"):
            post(f"http://127.0.0.1:{closed.getsockname()[1]}/")


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_may_be_reached(address: str) -> None:
    assert may_reach(ip_address(address))


def test_an_ordinary_address_is_accepted() -> None:
    assert check_url("https://hooks.example.org:8443/a/b?c=d%20e").hostname == "hooks.example.org"

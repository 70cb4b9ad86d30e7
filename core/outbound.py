"""Requests to addresses that users name: never into our own network.

Whoever registers a webhook could otherwise have this machine ask its neighbours, or the cloud's metadata service, for
what is meant for it alone (server-side request forgery, OWASP A10:2021). The address is judged where the connection is
made, after the name was resolved, and the connection goes to that very address: a name that resolves otherwise a
moment later (DNS rebinding) leads nowhere else. Redirects aren't followed, and proxies of the environment not used.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

import certifi
import httpcore
from django.conf import settings
from django.core.exceptions import ValidationError

CONNECT_SECONDS = 3.0
WHOLE_SECONDS = 10.0
BODY_BYTES = 4096
KEPT_CONNECTIONS = 50
KEPT_SECONDS = 5.0
MAX_URL_LENGTH = 2000

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = [ipaddress.IPv6Network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48")]  # RFC 6052, RFC 8215
IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")
# A cloud's own services at public addresses (Azure's “wire server”).
RESERVED = frozenset({ipaddress.ip_address("168.63.129.16")})
UNSPEAKABLE = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\]")


class OutboundError(Exception):
    """There was no answer; the message says why, in words for whoever named the address."""


class RefusedAddressError(OutboundError):
    """The address isn't one that requests may go to."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: the HTTP status code.
        headers: by name in lower case.
        body: its beginning, as much as was asked for.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_url(url: str) -> SplitResult:
    """Return the parts of an address to which a request may be tried; where the name leads is judged later.

    Raises:
        RefusedAddressError: it is no address of the web, or holds credentials.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RefusedAddressError("This is no valid address.") from None
    if UNSPEAKABLE.search(url) or len(url) > MAX_URL_LENGTH:
        raise RefusedAddressError("This is no valid address: it takes at most 2,000 ASCII characters, without blanks.")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise RefusedAddressError("The address must begin with https:// and name a host.")
    if "@" in parts.netloc:
        raise RefusedAddressError("The address must hold no user name and no password.")
    return parts


def validate_url(url: str) -> None:
    """Raise ValidationError unless requests can be tried at this address. Where it leads is judged at each request."""
    try:
        check_url(url)
    except RefusedAddressError as error:
        raise ValidationError(str(error), code="invalid") from error


def may_reach(address: Address) -> bool:
    """Tell whether requests may go to this address: a public one, or one that ``OUTBOUND_ALLOW`` names.

    An IPv6 address that stands for an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo) is judged by both.
    """
    if is_allowed(address):
        return True
    return all(
        each.is_global and not each.is_multicast and not each.is_reserved and each not in RESERVED
        for each in _meanings(address)
    )


def is_allowed(address: Address) -> bool:
    """Tell whether the operator has opened this address by ``OUTBOUND_ALLOW``."""
    return any(address in network for network in settings.OUTBOUND_ALLOW)


def _meanings(address: Address) -> Iterator[Address]:
    """Yield the addresses that a connection may end at: for NAT64 and its like, the IPv4 one inside alone."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    inside: list[Address] = [each for each in (address.ipv4_mapped, address.sixtofour) if each]
    if address.teredo:
        inside += address.teredo
    if any(address in network for network in NAT64) or address in IPV4_COMPATIBLE:
        inside.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    yield from inside or [address]


async def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, as the system resolves it. Raises OSError when it has none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # Without the zone of link-local ones, which are refused anyhow.
    return list(dict.fromkeys(ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found))


class _GuardedBackend(httpcore.AnyIOBackend):
    """Connects to addresses that requests may go to, and to nothing else."""

    def __init__(self, *, only_allowed: bool) -> None:
        self.only_allowed = only_allowed

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, judge, and connect to the first address that answers."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await resolve(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        except (OSError, UnicodeError):
            raise OutboundError("The host's name can't be resolved.") from None
        # One private address among public ones is reason enough: it is no accident.
        if not addresses or not all(may_reach(address) for address in addresses):
            raise RefusedAddressError("The host leads to an address that isn't public.")
        if self.only_allowed and not all(is_allowed(address) for address in addresses):
            raise RefusedAddressError("The address must begin with https://.")
        error: Exception = OutboundError("The host can't be reached.")
        for address in addresses:
            try:
                return await super().connect_tcp(str(address), port, timeout, *args, **options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                error = failure
        raise error

    async def connect_unix_socket(self, path: str, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        """Refuse."""
        raise RefusedAddressError("This is no address of the web.")


class Client:
    """Sends requests to addresses that users name. An asynchronous context manager, for use in one event loop."""

    def __init__(self, seconds: float | None = None) -> None:
        """Make a client, which waits so long for a whole answer: 10 s, if nothing else is said."""
        self.seconds = WHOLE_SECONDS if seconds is None else seconds
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        # Plain HTTP goes only where the operator has opened the way.
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=None,
                max_keepalive_connections=KEPT_CONNECTIONS,
                keepalive_expiry=KEPT_SECONDS,
                network_backend=_GuardedBackend(only_allowed=scheme == "http"),
            )
            for scheme in ("http", "https")
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Post, as ``request`` does."""
        return await self.request("POST", url, content=content, headers=headers)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes = b"", most: int = BODY_BYTES
    ) -> Answer:
        """Send a request, and return the answer, whatever its status; a redirect is an answer too.

        Takes at most 3 s to connect and the client's time in all, and reads ``most`` bytes of the answer's body (4 KB).

        Raises:
            RefusedAddressError: the request may not go there.
            OutboundError: there was no answer in time, or none that can be read.
        """
        parts = check_url(url)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.seconds):
                return await self._send(self._pools[parts.scheme], method, parts, content, headers, most)
        except (TimeoutError, httpcore.TimeoutException):
            raise OutboundError(f"No answer came within {time.monotonic() - began:.0f} s.") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
            raise OutboundError(_reason(error)) from error

    async def _send(
        self,
        pool: httpcore.AsyncConnectionPool,
        method: str,
        parts: SplitResult,
        content: bytes,
        headers: Mapping[str, str],
        most: int,
    ) -> Answer:
        target = parts.path or "/"
        url = httpcore.URL(
            scheme=parts.scheme,
            host=str(parts.hostname),
            port=parts.port,
            target=f"{target}?{parts.query}" if parts.query else target,
        )
        timeout = {"connect": CONNECT_SECONDS} | dict.fromkeys(("read", "write", "pool"), self.seconds)
        sent = {"Host": parts.netloc, "Content-Length": str(len(content)), **headers}
        async with pool.stream(
            method, url, headers=list(sent.items()), content=content, extensions={"timeout": timeout}
        ) as response:
            body = b""
            async for part in response.aiter_stream():
                body += part
                if len(body) >= most:
                    break
        received = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status, received, body[:most])


def _reason(error: Exception) -> str:
    if isinstance(error.__cause__ or error, ssl.SSLError) or "SSL" in str(error):
        return "The host's certificate doesn't hold, or it speaks no TLS."
    if isinstance(error, httpcore.ConnectError | OSError):
        return "The host can't be reached."
    return "The connection broke before a whole answer came."

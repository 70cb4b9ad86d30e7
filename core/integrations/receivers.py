"""Who understands what services tell us. An app registers what it makes of them, since core knows no app."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from core.models import Integration, IntegrationEvent


class BadSignatureError(Exception):
    """The message isn't signed with the integration's secret, or was signed too long ago."""


class UnreadableMessageError(Exception):
    """The message is signed, and not what the service is known to send; the text says why."""


class IgnoredError(Exception):
    """There is nothing to do about an event; the text says why."""


@dataclass(frozen=True)
class Message:
    """What a service told us, once its signature was found right. The fields are IntegrationEvent's."""

    delivery_id: str
    event_type: str
    payload: dict[str, Any] = field(repr=False)
    subject: str = ""
    occurred_at: datetime | None = None


class Receiver(Protocol):
    """Understands what one service tells."""

    def read(self, *, body: bytes, headers: Mapping[str, str], secret: str) -> Message | None:
        """Return the message of a request, or None for one that nothing would ever be done about.

        Raises:
            BadSignatureError: it isn't signed with the secret, or was signed too long ago.
            UnreadableMessageError: it is, and can't be read.
        """

    def handle(self, *, integration: Integration, event: IntegrationEvent) -> str:
        """Do what follows from an event, in the present transaction, and return what that was.

        Raises IgnoredError when nothing follows; ConflictError, ValidationError or UnreadableMessageError when the
        event can't be followed, and won't be later either.
        """


RECEIVERS: dict[str, Receiver] = {}
"""Who understands each provider."""


def register(provider: str, receiver: Receiver) -> None:
    """Have a provider's messages understood by ``receiver``."""
    RECEIVERS[provider] = receiver

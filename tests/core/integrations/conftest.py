"""A stand-in for the services: a server on this machine that answers as they do."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import pytest

from core.models import Integration, Organization
from tests.core.receiver import Received, Receiver, receiving
from tests.factories.core import CONFIGS, INTEGRATION_TOKEN, IntegrationFactory

Answer = tuple[int, dict[str, str], bytes]


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    """Return an answer of JSON."""
    return status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode()


@dataclass
class StandIn:
    """Services that know one token. ``answers`` take the place of what a path is answered with."""

    receiver: Receiver
    answers: dict[str, list[Answer]] = field(default_factory=dict)

    def answer(self, request: Received) -> Answer:
        """Answer as the service would."""
        if waiting := self.answers.get(request.path):
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]
        known = INTEGRATION_TOKEN in request.headers.get("authorization", "")
        if request.path.startswith("/slack/"):
            return says({"ok": True, "ts": "1"} if known else {"ok": False, "error": "invalid_auth"})
        if not known and not request.headers.get("authorization", "").startswith("Basic "):
            return says({"message": "Bad credentials"}, 401)
        paths = ("/github/repos/octocat/hello-world", "/stripe/v1/customers/cus_NffrFeUfNV2Hib", "/custom/status")
        return says({"id": 1} if request.path in (*paths, "/jira/rest/api/3/myself") else {}, 200)

    def url(self, provider: str) -> str:
        """Return the address of the provider's API here."""
        return self.receiver.url(f"/{provider}")

    def integration(self, provider: str, organization: Organization, **fields: Any) -> Integration:
        """Make an integration whose service is the stand-in, and return it as it is stored."""
        config = CONFIGS[provider] | {"api_url": self.url(provider)} | fields.pop("config", {})
        made = IntegrationFactory(provider=provider, organization=organization, config=config, **fields)
        return Integration.objects.get(pk=made.pk)

    @property
    def requests(self) -> list[Received]:
        """Return what came."""
        return self.receiver.requests


@pytest.fixture
def stand_in(settings: Any) -> Iterator[StandIn]:
    """The services' stand-in, to which the operator has opened the way."""
    settings.OUTBOUND_ALLOW = [ip_network("127.0.0.0/8")]
    with receiving() as receiver:
        made = StandIn(receiver)
        receiver.answer = made.answer
        yield made

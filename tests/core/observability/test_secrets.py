"""Secrets that are given to Muster come out nowhere: not in logs, answers, events, error pages, nor tables.

Each is marked, and sought in all that comes out, also as bytes' repr, in base64 and percent-encoded.
"""

import base64
import json
import logging
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet
from django.db import connection, connections
from django.test import Client

from core.encryption import reveal
from core.models import APIKey, AuditEvent, Integration, Scope
from core.observability.logs import JSONFormatter, PlainFormatter, RequestFilter
from tests.factories.core import WEBHOOK_SECRET, UserFactory, WebhookFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.database import tables

PASSWORD, WRONG_PASSWORD, NEW_PASSWORD = (f"planted-{which}-password-7Q" for which in ("right", "wrong", "new"))
TOKEN, WEBHOOK = "planted-integration-token-7Q", "planted-webhook-secret-7Q"
STRAY = "planted-stray-bearer-7Q"
IN_SETTINGS = {
    "SECRET_KEY": "planted-secret-key-7Q-0123456789-0123456789-0123456789",
    "METRICS_TOKEN": "planted-metrics-token-7Q",
    "EMBEDDING_API_KEY": "planted-embedding-key-7Q",
    "EMBEDDING_API_URL": "https://me:planted-embedding-password-7Q@models.example.org/v1",
    "ENCRYPTION_KEYS": [Fernet.generate_key().decode()],
}
CACHE_PASSWORD, DATABASE_PASSWORD = "planted-cache-password-7Q", "planted-database-password-7Q"
ORDINARY = {"Cookie": "any=one"}


def spellings(secret: str) -> set[str]:
    """Return how a secret may be written; of base64, what doesn't depend on what stands around it."""
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], encoded}


def found_in(text: str, secrets: list[str]) -> list[str]:
    return [secret for secret in secrets if any(each in text for each in spellings(secret))]


@pytest.fixture
def planted(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Secrets in the settings, which programs of ours and pages of errors read."""
    for name, value in IN_SETTINGS.items():
        setattr(settings, name, value)
    monkeypatch.setitem(connections["default"].settings_dict, "PASSWORD", DATABASE_PASSWORD)
    monkeypatch.setattr(settings, "CACHE_URL", f"redis://me:{CACHE_PASSWORD}@127.0.0.1:1/0", raising=False)
    values = [value if isinstance(value, str) else value[0] for value in IN_SETTINGS.values()]
    values[3] = "planted-embedding-password-7Q"
    return [*values, CACHE_PASSWORD, DATABASE_PASSWORD]


@pytest.fixture
def logs() -> Iterator[StringIO]:
    """All that is logged, from DEBUG on, in both formats."""
    stream, handlers = StringIO(), []
    root = logging.getLogger()
    level, django = root.level, logging.getLogger("django").level
    for formatter in (JSONFormatter(), PlainFormatter()):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        handler.addFilter(RequestFilter())
        root.addHandler(handler)
        handlers.append(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("django").setLevel(logging.DEBUG)
    yield stream
    for handler in handlers:
        root.removeHandler(handler)
    root.setLevel(level)
    logging.getLogger("django").setLevel(django)


class Walk:
    """Everything that a client may do with secrets, and what it is answered."""

    def __init__(self, owner: Actor) -> None:
        self.owner, self.answers = owner, ""
        self.secrets = [PASSWORD, WRONG_PASSWORD, NEW_PASSWORD, TOKEN, WEBHOOK, STRAY]
        self.key, text = APIKey.issue(
            user=owner.user, organization_id=owner.organization.pk, name="Planted", scopes=Scope.values
        )
        self.secrets.append(text.rpartition("_")[2])
        self.by_key = ApiClient(key=text)

    def note(self, answer: Any, *statuses: int) -> Any:
        assert answer.status_code in statuses, (answer.status_code, answer.content[:500])
        self.answers += repr(sorted(answer.headers.items())) + answer.content.decode()
        return answer

    def log_in(self) -> None:
        UserFactory(email="planted@acme.example", password=PASSWORD, is_staff=True, is_superuser=True)
        client, form = Client(), {"username": "planted@acme.example", "password": WRONG_PASSWORD}
        self.note(client.post("/admin/login/", form), 200)
        self.note(client.post("/admin/login/", form | {"password": PASSWORD}), 302)
        form = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": WRONG_PASSWORD}
        self.note(client.post("/admin/password_change/", form), 200)
        self.note(client.post("/admin/password_change/", form | {"new_password2": NEW_PASSWORD}), 302)

    def make_a_key_in_the_admin(self) -> None:
        self.owner.user.is_staff = self.owner.user.is_superuser = True
        self.owner.user.save()
        client = Client()
        client.force_login(self.owner.user)
        data = {
            "user": self.owner.user.pk,
            "organization": self.owner.organization.pk,
            "name": "Made",
            "scopes": ["core:read"],
        }
        page = client.post("/admin/core/apikey/add/", data)
        shown = re.search(r"mst_[A-Za-z0-9]{8}_([A-Za-z0-9]{43})", page.content.decode())
        assert shown, page.content  # this once
        self.secrets.append(shown[1])

    def use_keys(self) -> None:
        for way in ({}, ORDINARY):
            for _ in range(2):
                self.note(self.by_key.get("/api/v1/tasks/", headers=way), 200)
                self.note(self.by_key.post("/api/v1/tasks/", {"name": "x", "task_type": "code"}, headers=way), 201)
        self.note(self.by_key.get("/api/v1/api-keys/"), 200)
        self.note(self.by_key.post("/v1/traces", {"resourceSpans": []}), 200)
        for header in (f"Bearer {STRAY}", f"Basic {STRAY}", STRAY):
            for path in ("/api/v1/tasks/", "/metrics"):
                self.note(ApiClient().get(path, headers={"Authorization": header}), 401)
        self.note(ApiClient().post("/v1/traces", {}, headers={"Authorization": f"Bearer {STRAY}"}), 401)
        bearer = {"Authorization": f"Bearer {IN_SETTINGS['METRICS_TOKEN']}"}
        self.note(ApiClient().get("/metrics", headers=bearer), 200)

    def integrate(self) -> None:
        path = "/api/v1/integrations/"
        body = {"provider": "github", "name": "Hub", "config": {"repository": "acme/work"}}
        secret = {"token": TOKEN, "webhook_secret": WEBHOOK}
        self.note(self.by_key.post(path, {**body, **secret, "config": {"repository": 5}}), 400)
        self.note(self.by_key.post(path, {**body, **secret, "provider": TOKEN[:0]}), 400)
        made = self.note(self.by_key.post(path, body | secret, headers={"Idempotency-Key": "once"}), 201).json()
        self.note(self.by_key.post(path, body | secret, headers={"Idempotency-Key": "once"}), 201)
        address = f"{path}{made['id']}/"
        self.note(self.by_key.patch(address, {"token": f"{TOKEN}-2", "name": "x" * 500}), 400)
        self.note(self.by_key.patch(address, {"token": f"{TOKEN}-2"}), 200)
        self.note(self.by_key.get(address), 200)
        self.note(self.by_key.get(path), 200)
        signed = {"X-Hub-Signature-256": "sha256=00", "X-GitHub-Event": "issues", "X-GitHub-Delivery": "1"}
        self.note(ApiClient().post(f"{address}receive/", {}, headers=signed), 401, 403)

    def hook(self) -> None:
        self.secrets.append(WEBHOOK_SECRET)
        webhook = WebhookFactory(organization=self.owner.organization)
        address = f"/api/v1/webhooks/{webhook.pk}/"
        self.note(self.by_key.get(address), 200)
        self.note(self.by_key.patch(address, {"description": "changed"}), 200)
        made = self.by_key.post("/api/v1/webhooks/", {"url": "https://example.org/", "event_types": ["task.*"]})
        assert made.status_code == 201
        self.secrets.append(made.json()["secret"])  # this once it is shown
        self.note(self.by_key.get("/api/v1/webhooks/"), 200)

    def read_events(self) -> None:
        self.note(self.by_key.get("/api/v1/audit-events/?limit=100"), 200)


def test_secrets_come_out_nowhere(owner: Actor, planted: list[str], logs: StringIO) -> None:
    walk = Walk(owner)
    walk.log_in()
    walk.use_keys()
    walk.integrate()
    walk.hook()
    walk.make_a_key_in_the_admin()
    walk.read_events()
    secrets = walk.secrets + planted
    assert found_in(walk.answers, secrets) == []
    assert found_in(logs.getvalue(), secrets) == []
    assert '"logger":"muster.access"' in logs.getvalue()
    assert reveal(Integration.objects.get().token) == f"{TOKEN}-2"
    assert AuditEvent.objects.filter(event_type__startswith="integration.").exists()
    assert found_in(everything_stored(), secrets) == []


def everything_stored() -> str:
    """Return the text of every row of every table."""
    texts = []
    with connection.cursor() as cursor:
        for table in tables():
            cursor.execute(f'SELECT to_jsonb(each)::text FROM "{table}" AS each')
            texts += [text for (text,) in cursor.fetchall()]
    return "\n".join(texts)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_no_error_page_shows_a_secret(
    debug: bool,
    accept: str,
    owner: Actor,
    planted: list[str],
    logs: StringIO,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.DEBUG = debug

    def fail(*args: Any, **held: Any) -> Any:
        anything = args, held, dict(IN_SETTINGS)
        raise RuntimeError(f"a failure with {len(anything)} things in hand")

    monkeypatch.setattr("core.api.integrations.IntegrationViewSet.perform_create", fail)
    monkeypatch.setattr("core.backends.EmailBackend.authenticate", fail)
    walk = Walk(owner)
    for client in (walk.by_key, owner.client):
        client.raise_request_exception = False
    body = {"provider": "github", "name": "Hub", "config": {"repository": "acme/work"}, "token": TOKEN}
    pages = [
        walk.by_key.post("/api/v1/integrations/", body, headers={"Accept": accept}),
        owner.client.generic(
            "POST",
            "/admin/login/",
            f"username=planted%40acme.example&password={PASSWORD}",
            "application/x-www-form-urlencoded",
            headers={"Accept": accept},
        ),
    ]
    for page in pages:
        assert page.status_code == 500
        text = page.content.decode()
        assert ("things in hand" in text) == debug
        assert found_in(text, walk.secrets + planted) == []
    assert "things in hand" in logs.getvalue()
    assert found_in(logs.getvalue(), walk.secrets + planted) == []


def test_a_secret_that_comes_out_is_found() -> None:
    """What the tests above rest on."""
    for text in (f"x{TOKEN}y", quote(TOKEN, safe=""), base64.b64encode(TOKEN.encode()).decode()):
        assert found_in(text, [TOKEN, STRAY]) == [TOKEN]

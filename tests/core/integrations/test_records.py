"""Integrations as records: what the database takes, what nobody can read, and keys that rotate."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from psycopg.types.json import Jsonb

from core.encryption import reveal
from core.integrations.providers import SETTINGS, Provider, faults
from core.models import AuditEvent, Integration, Organization
from core.services import integrations
from tests.factories.core import (
    CONFIGS,
    INTEGRATION_SECRET,
    INTEGRATION_TOKEN,
    IntegrationEventFactory,
    IntegrationFactory,
    OrganizationFactory,
    UserFactory,
    WebhookFactory,
)
from tests.kit.cast import Actor
from tests.kit.server import database_url
from tests.kit.sql import refused, run

ADDRESS = "/api/v1/integrations/"

WRONG: list[tuple[str, Any, str]] = [
    ("github", {}, "github_repository"),
    ("github", {"repository": "no-slash"}, "github_repository"),
    ("github", {"repository": ["octocat/hello-world"]}, "github_repository"),
    ("github", {"repository": "a/b", "label": ""}, "github_label"),
    ("github", {"repository": "a/b", "label": 5}, "github_label"),
    ("github", {"repository": "a/b", "label": "two\nlines"}, "github_label"),
    ("github", {"repository": "a/b", "api_url": "ftp://example.org"}, "github_api_url"),
    ("github", {"repository": "a/b", "api_url": "https://user:pw@example.org"}, "github_api_url"),
    ("github", {"repository": "a/b", "token": "in the wrong place"}, "github_settings"),
    ("slack", {"channel": "#ops"}, "slack_events"),
    ("slack", {"channel": "#ops", "events": []}, "slack_events"),
    ("slack", {"channel": "#ops", "events": "task.*"}, "slack_events"),
    ("slack", {"channel": "#ops", "events": ["*.complete"]}, "slack_events"),
    ("slack", {"channel": "#ops", "events": ["task.*", None]}, "slack_events"),
    ("slack", {"channel": "two words", "events": ["*"]}, "slack_channel"),
    ("jira", {"api_url": "https://example.atlassian.net", "email": "nobody"}, "jira_email"),
    ("jira", {"email": "ada@example.com"}, "jira_api_url"),
    ("stripe", {"customer": "cus_1", "plans": {}}, "stripe_plans"),
    ("stripe", {"customer": "cus_1", "plans": {"price_1": "gold"}}, "stripe_plans"),
    ("stripe", {"customer": "cus_1", "plans": [["price_1", "pro"]]}, "stripe_plans"),
    ("stripe", {"customer": "acct_1", "plans": {"price_1": "pro"}}, "stripe_customer"),
    ("custom", {"api_url": "https://api.example.org", "check_path": "status"}, "custom_check_path"),
    ("custom", {"api_url": "https://api.example.org", "header": "Host"}, "custom_header"),
    ("custom", {"api_url": "https://api.example.org", "header": None}, "custom_header"),
]
RIGHT: list[tuple[str, Any]] = [
    *CONFIGS.items(),
    (
        "github",
        {"repository": "octo-org/.github", "label": "good first issue 🐙", "api_url": "https://ghe.example/api/v3"},
    ),
    ("slack", {"channel": "C024BE91L", "events": ["*", "task.complete", "order.*"]}),
    ("custom", {"api_url": "http://10.0.0.1:8080", "header": "X-Api-Key"}),
]


# --- The database ----------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(("provider", "config", "rule"), WRONG)
def test_the_database_and_the_check_before_it_refuse_the_same(provider: str, config: Any, rule: str) -> None:
    IntegrationFactory(provider=provider)
    change = "UPDATE core_integration SET config = %s, token = token || 'x'"
    assert refused(change, Jsonb(config)) == f"core_integration_{rule}"
    setting = rule.partition("_")[2]
    [(name, message)] = faults(provider, config).items()
    assert name == setting or setting == "settings"
    assert f"config.{name}" in message


@pytest.mark.django_db
@pytest.mark.parametrize(("provider", "config"), RIGHT)
def test_the_database_and_the_check_before_it_take_the_same(provider: str, config: Any) -> None:
    integration = IntegrationFactory(provider=provider, config=config)
    assert faults(provider, config) == {}
    assert Integration.objects.get(pk=integration.pk).config == config


def test_every_provider_has_settings() -> None:
    assert set(SETTINGS) == set(Provider.values)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("token = ''", "core_integration_token_given"),
        ("token = 'in plain text'", "core_integration_token_encrypted"),
        ("webhook_secret = 'in plain text'", "core_integration_webhook_secret_encrypted"),
        ("provider = 'custom'", "core_integration_provider_immutable"),
        ("name = ''", "core_integration_name_given"),
        ("config = '[]'", "core_integration_config_object"),
        ("status = 'failing'", "core_integration_why_failing"),
        ("last_error = 'Nobody knows'", "core_integration_why_failing"),
        ("status = 'elsewhere'", "core_integration_status_transitions"),
    ],
)
def test_the_database_refuses(change: str, rule: str) -> None:
    IntegrationFactory(provider="github")
    assert refused(f"UPDATE core_integration SET {change}") == rule


@pytest.mark.django_db
def test_only_those_who_send_have_a_secret_to_sign_with() -> None:
    IntegrationFactory(provider="slack")
    token = "gAAAAA" + "x" * 40
    rule = "core_integration_webhook_secret_fits"
    assert refused("UPDATE core_integration SET webhook_secret = %s", token) == rule


@pytest.mark.django_db
def test_a_stored_token_never_goes_to_another_address() -> None:
    """Or else whoever may change an integration could have the token sent to a machine of theirs, and read it there."""
    IntegrationFactory()
    elsewhere = Jsonb({"api_url": "https://attacker.example"})
    assert refused("UPDATE core_integration SET config = %s", elsewhere) == "core_integration_address_token"
    run('UPDATE core_integration SET config = config || \'{"check_path": "/health"}\'')
    run("UPDATE core_integration SET config = %s, token = %s", elsewhere, "gAAAAA" + "x" * 40)


@pytest.mark.django_db
def test_names_are_the_organizations_own() -> None:
    first = IntegrationFactory(name="Chat")
    IntegrationFactory(name="Chat")
    second = IntegrationFactory(name="Other", organization=first.organization)
    assert (
        refused("UPDATE core_integration SET name = 'Chat' WHERE id = %s", second.pk) == "core_integration_name_unique"
    )


@pytest.mark.django_db
def test_an_event_is_kept_once_and_never_changes() -> None:
    event = IntegrationEventFactory()
    columns = "organization_id, integration_id, delivery_id, event_type, subject, payload, status"
    again = f"INSERT INTO core_integrationevent ({columns}) SELECT {columns} FROM core_integrationevent"
    assert refused(again) == "core_integrationevent_once"
    other = OrganizationFactory()
    stray = f"INSERT INTO core_integrationevent ({columns}) VALUES (%s, %s, 'd', 'e', '', '{{}}', 'pending')"
    assert refused(stray, other.pk, event.integration_id) == "core_integrationevent_same_organization"
    assert refused("UPDATE core_integrationevent SET payload = '{}'") == "core_integrationevent_payload_immutable"
    assert refused("UPDATE core_integrationevent SET status = 'handled'") == "core_integrationevent_when_handled"
    handled = "UPDATE core_integrationevent SET status = %s, handled_at = now()"
    run(handled, "handled")
    assert refused(handled, "failed") == "core_integrationevent_status_transitions"


# --- Secrets ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_secrets_are_stored_encrypted_and_shown_nowhere(owner: Actor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    body = {"provider": "github", "name": "Code", "config": CONFIGS["github"]}
    secrets = {"token": INTEGRATION_TOKEN, "webhook_secret": INTEGRATION_SECRET}
    answers = [owner.by_key.post(ADDRESS, body | secrets)]
    assert answers[0].status_code == 201
    path = f"{ADDRESS}{answers[0].json()['id']}/"
    answers += [
        owner.by_key.get(path),
        owner.by_key.get(ADDRESS),
        owner.by_key.patch(path, {"token": INTEGRATION_TOKEN[::-1]}),
        owner.by_key.get(ADDRESS, {"fields": "name,has_token"}),
        owner.by_key.get("/api/v1/audit-events/"),
        owner.by_key.post(ADDRESS, body | secrets | {"config": {}}),
    ]
    [(token, secret)] = run("SELECT token, webhook_secret FROM core_integration")
    assert (reveal(token), reveal(secret)) == (INTEGRATION_TOKEN[::-1], INTEGRATION_SECRET)
    assert owner.by_key.get(ADDRESS, {"fields": "token"}).status_code == 400
    root = UserFactory(is_staff=True, is_superuser=True)
    browser = Client()
    browser.force_login(root)
    integration = Integration.objects.get()
    pages = [browser.get(reverse("admin:core_integration_change", args=[integration.pk]))]
    pages += [browser.get(reverse("admin:core_integration_history", args=[integration.pk]))]
    seen = [each.content.decode() for each in [*answers, *pages]] + [caplog.text, repr(integration), str(integration)]
    seen += [str(run("SELECT details, old_value, new_value FROM core_auditevent"))]
    for each in (INTEGRATION_TOKEN, INTEGRATION_TOKEN[::-1], INTEGRATION_SECRET, token, secret):
        assert not [text for text in seen if each in text]
    assert answers[1].json()["has_token"]
    assert "[redacted]" in seen[-1]
    assert all(page.status_code == 200 for page in pages)


def keys(*numbers: int) -> list[str]:
    return [base64.urlsafe_b64encode(bytes([number] * 32)).decode() for number in numbers]


@pytest.mark.django_db
def test_rotation_leaves_no_secret_under_the_old_key(settings: Any) -> None:
    [old, new] = keys(1, 2)
    settings.ENCRYPTION_KEYS = [old]
    made = [IntegrationFactory(provider=provider) for provider in Provider.values]
    WebhookFactory()
    settings.ENCRYPTION_KEYS = [new, old]
    call_command("rotate_secrets", verbosity=0)
    settings.ENCRYPTION_KEYS = [new]
    for each in made:
        stored = Integration.objects.get(pk=each.pk)
        assert reveal(stored.token) == INTEGRATION_TOKEN
        assert reveal(stored.webhook_secret) == (INTEGRATION_SECRET if stored.has_webhook_secret else "")


READ = """
import json, django
django.setup()
from core.encryption import reveal
from core.models import Integration
print(json.dumps([reveal(each.token) for each in Integration.objects.all()]))
"""


@pytest.mark.django_db(transaction=True)
def test_a_process_that_starts_with_rotated_keys_reads_every_old_secret(settings: Any, tmp_path: Path) -> None:
    [old, new] = keys(1, 2)
    settings.ENCRYPTION_KEYS = [old]
    for provider in Provider.values:
        IntegrationFactory(provider=provider)

    def start(*encryption_keys: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "SECRET_KEY": project.SECRET_KEY,
            "ENCRYPTION_KEYS": ",".join(encryption_keys),
            "DATA_DIR": str(tmp_path),
            "DEBUG": "1",
        }
        command = [sys.executable, "-c", READ]
        return subprocess.run(
            command, env=environment, cwd=project.BASE_DIR, capture_output=True, text=True, check=False
        )

    assert json.loads(start(new, old).stdout) == [INTEGRATION_TOKEN] * len(Provider.values)
    refused_start = start(new)
    assert refused_start.returncode != 0
    assert "UnreadableSecretError" in refused_start.stderr


# --- API and admin ---------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"config": {"label": "x"}}, "config", "“config.repository” is missing"),
        ({"config": {"repository": "a/b", "labels": "x"}}, "config", "no setting “config.labels”"),
        ({"config": ["a/b"]}, "config", "must be a JSON object"),
        ({"token": ""}, "token", "can't be empty"),
        ({"token": "two words"}, "token", "visible ASCII"),
        ({"token": "gAAAAABm" + "x" * 80}, "token", "doesn't begin so"),
        ({"webhook_secret": "short"}, "webhook_secret", "16 to 200"),
        ({"provider": "gitlab"}, "provider", "not a valid choice"),
        ({"name": "Taken"}, "name", "another integration"),
    ],
)
def test_the_api_names_the_field_and_the_rule(change: Any, field: str, told: str, owner: Actor) -> None:
    IntegrationFactory(organization=owner.organization, name="Taken")
    body = {"provider": "github", "name": "Code", "config": CONFIGS["github"], "token": INTEGRATION_TOKEN}
    answer = owner.by_key.post(ADDRESS, body | change)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert told in error["detail"]
    assert Integration.objects.count() == 1


@pytest.mark.django_db
def test_another_configuration_is_to_be_checked_anew(owner: Actor) -> None:
    integration = IntegrationFactory(organization=owner.organization, provider="github", status="working")
    path = f"{ADDRESS}{integration.pk}/"
    assert owner.by_key.patch(path, {"name": "Renamed"}).json()["status"] == "working"
    changed = owner.by_key.patch(path, {"config": {"repository": "octocat/other"}}).json()
    assert (changed["status"], changed["config"]) == ("unchecked", {"repository": "octocat/other"})
    answer = owner.by_key.patch(path, {"config": {"repository": "a/b", "api_url": "https://attacker.example"}})
    assert answer.status_code == 400
    assert "together with" in answer.json()["errors"][0]["detail"]
    assert owner.by_key.patch(path, {"provider": "custom"}).status_code == 400
    both = {"config": {"repository": "a/b", "api_url": "https://github.example"}, "token": INTEGRATION_TOKEN}
    assert owner.by_key.patch(path, both).status_code == 200


@pytest.mark.django_db
def test_what_is_encrypted_already_is_no_credential_to_staff(organization: Organization) -> None:
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    stolen = IntegrationFactory().token
    for field in ("token", "webhook_secret"):
        form = {"organization": organization.pk, "provider": "github", "name": "Mine", "token": "ghp_mine"} | {
            "config": '{"repository": "a/b"}',
            field: stolen,
        }
        page = client.post(reverse("admin:core_integration_add"), form)
        assert page.context["adminform"].errors[field][0] == "A secret doesn't begin so."
    assert not Integration.objects.filter(organization=organization).exists()


@pytest.mark.django_db
def test_staff_make_and_change_one_in_the_admin(organization: Organization) -> None:
    browser = Client()
    browser.force_login(UserFactory(is_staff=True, is_superuser=True))
    form = {
        "provider": "github",
        "name": "Code",
        "config": json.dumps(CONFIGS["github"]),
        "organization": organization.pk,
    }
    page = browser.post(reverse("admin:core_integration_add"), form | {"config": "{}"})
    assert "“config.repository” is missing" in page.content.decode()
    assert "“token” can&#x27;t be empty." in page.content.decode()
    secrets = {"token": INTEGRATION_TOKEN, "webhook_secret": INTEGRATION_SECRET}
    assert browser.post(reverse("admin:core_integration_add"), form | secrets).status_code == 302
    integration = Integration.objects.get()
    integrations.note(integration=integration, fault="")
    address = reverse("admin:core_integration_change", args=[integration.pk])
    assert f"/api/v1/integrations/{integration.pk}/receive/" in browser.get(address).content.decode()
    assert browser.post(address, form | {"name": "Renamed"}).status_code == 302
    kept = Integration.objects.get()
    assert (kept.name, kept.status, reveal(kept.token)) == ("Renamed", "working", INTEGRATION_TOKEN)
    assert browser.post(address, form | {"token": "another-token"}).status_code == 302
    changed = Integration.objects.get()
    assert (changed.status, reveal(changed.token), reveal(changed.webhook_secret)) == (
        "unchecked",
        "another-token",
        INTEGRATION_SECRET,
    )
    elsewhere = json.dumps({"repository": "a/b", "api_url": "https://attacker.example"})
    page = browser.post(address, form | {"config": elsewhere})
    assert "together with" in page.content.decode()
    assert AuditEvent.objects.filter(event_type="integration.reset").count() == 1

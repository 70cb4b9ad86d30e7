"""Whether an integration works, as its service says: a stand-in on this machine answers for it."""

import base64
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from core.errors import ConflictError
from core.integrations import services
from core.integrations.providers import Provider
from core.models import AuditEvent, Integration, Organization
from core.services import integrations
from tests.core.integrations.conftest import StandIn, says
from tests.factories.core import INTEGRATION_TOKEN, IntegrationFactory, MembershipFactory, UserFactory
from tests.kit.cast import Actor
from tests.kit.sql import run

pytestmark = pytest.mark.django_db

PATHS = {
    "github": ("GET", "/github/repos/octocat/hello-world"),
    "slack": ("POST", "/slack/auth.test"),
    "jira": ("GET", "/jira/rest/api/3/myself"),
    "stripe": ("GET", "/stripe/v1/customers/cus_NffrFeUfNV2Hib"),
    "custom": ("GET", "/custom/status"),
}


@pytest.mark.parametrize("provider", Provider.values)
def test_a_service_that_knows_the_token_confirms(provider: str, stand_in: StandIn, owner: Actor) -> None:
    integration = stand_in.integration(provider, owner.organization)
    answer = owner.by_key.post(f"/api/v1/integrations/{integration.pk}/check/")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["last_error"]) == ("working", "")
    assert answer.json()["last_checked_at"]
    [request] = stand_in.requests
    assert request.path == PATHS[provider][1]
    expected = f"Bearer {INTEGRATION_TOKEN}"
    if provider == "jira":
        expected = f"Basic {base64.b64encode(f'ada@example.com:{INTEGRATION_TOKEN}'.encode()).decode()}"
    assert request.headers["authorization"] == expected
    assert AuditEvent.objects.filter(event_type="integration.confirm", resource_id=integration.pk).count() == 1


@pytest.mark.parametrize(
    ("provider", "answer", "told"),
    [
        ("github", says({"message": "Bad credentials"}, 401), "doesn't know the token"),
        ("github", says({}, 403), "may not read octocat/hello-world"),
        ("github", says({"message": "Not Found"}, 404), "sees no repository octocat/hello-world"),
        ("github", says({}, 500), "unexpected status 500"),
        ("github", (301, {"Location": "https://example.org"}, b""), "unexpected status 301"),
        ("slack", says({"ok": False, "error": "invalid_auth"}), "Slack refuses: invalid_auth."),
        ("slack", says({"ok": False, "error": "<script>"}), "Slack refuses: an error without a name."),
        ("slack", (200, {}, b"<html>"), "not as Slack does"),
        ("slack", says([]), "not as Slack does"),
        ("jira", says({}, 401), "doesn't know the token"),
        ("jira", says({}, 404), "There is no Jira here"),
        ("stripe", says({"error": {"message": "No such customer"}}, 404), "no customer cus_NffrFeUfNV2Hib"),
        ("custom", says({}, 401), "doesn't know the token"),
        ("custom", says({}, 302), "unexpected status 302"),
    ],
)
def test_what_a_service_says_against_it_is_kept(
    provider: str, answer: Any, told: str, stand_in: StandIn, organization: Organization
) -> None:
    integration = stand_in.integration(provider, organization, status="working")
    stand_in.answers[PATHS[provider][1]] = [answer]
    checked = integrations.check(integration=integration)
    assert checked.status == "failing"
    assert told in checked.last_error
    stand_in.answers.clear()
    assert integrations.check(integration=checked).status == "working"
    assert Integration.objects.get().last_error == ""


def test_a_service_out_of_reach_or_inside_our_network_is_a_failure(organization: Organization) -> None:
    inside = IntegrationFactory(config={"api_url": "https://127.0.0.1:9"}, organization=organization)
    checked = integrations.check(integration=Integration.objects.get(pk=inside.pk))
    assert (checked.status, checked.last_error) == ("failing", "The host leads to an address that isn't public.")


def test_a_token_whose_key_is_lost_is_a_failure(settings: Any, stand_in: StandIn, organization: Organization) -> None:
    integration = stand_in.integration("github", organization)
    settings.ENCRYPTION_KEYS = [base64.urlsafe_b64encode(bytes(32)).decode()]
    assert integrations.check(integration=integration).last_error == services.UNREADABLE
    assert stand_in.requests == []


def test_an_answer_about_another_token_is_not_noted(stand_in: StandIn, organization: Organization) -> None:
    integration = stand_in.integration("github", organization)
    integrations.change(integration=Integration.objects.get(), token="another-token")
    with pytest.raises(ConflictError, match="changed meanwhile"):
        integrations.check(integration=integration)
    assert Integration.objects.get().status == "unchecked"


def test_a_disabled_one_can_be_checked_and_stays_disabled(stand_in: StandIn, organization: Organization) -> None:
    integration = stand_in.integration("github", organization, status="disabled")
    assert integrations.check(integration=integration).status == "disabled"
    assert integrations.enable(integration=integration).status == "unchecked"


def test_staff_see_the_answer_at_once(stand_in: StandIn, organization: Organization) -> None:
    integration = stand_in.integration("github", organization)
    browser = Client()
    browser.force_login(UserFactory(is_staff=True, is_superuser=True))
    address = reverse("admin:core_integration_action", args=[integration.pk, "check"])
    page = browser.post(address, follow=True).content.decode()
    assert f"{integration.name} works." in page
    stand_in.answers[PATHS["github"][1]] = [says({}, 404)]
    page = browser.post(address, follow=True).content.decode()
    assert "The token sees no repository octocat/hello-world." in page
    assert INTEGRATION_TOKEN not in page


@pytest.mark.django_db(transaction=True)
def test_the_service_is_asked_outside_of_any_transaction(stand_in: StandIn, owner: Actor) -> None:
    """While the service thinks, no transaction of ours is open, whatever headers the client sends."""
    integration = stand_in.integration("github", owner.organization)
    open_ones: list[Any] = []
    ordinary = stand_in.answer

    def looking(request: Any) -> Any:
        open_ones.extend(
            run(
                "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND state = 'idle in transaction'"
            )
        )
        connection.close()
        return ordinary(request)

    stand_in.receiver.answer = looking
    headers = {"Idempotency-Key": "once", "If-Match": "*"}
    answer = owner.by_key.post(f"/api/v1/integrations/{integration.pk}/check/", headers=headers)
    assert answer.json()["status"] == "working"
    assert len(stand_in.requests) == 1
    assert open_ones == []


def test_the_first_page_of_the_admin_names_those_that_fail(organization: Organization) -> None:
    failing = IntegrationFactory(organization=organization, status="failing", last_error="It <b>refuses</b>.")
    working = IntegrationFactory(organization=organization, status="working")
    elsewhere = IntegrationFactory(status="failing", last_error="It refuses.")

    def index(**rights: bool) -> str:
        user, client = UserFactory(is_staff=True, **rights), Client()
        MembershipFactory(user=user, organization=organization, role="admin")
        client.force_login(user)
        return client.get(reverse("admin:index")).content.decode()

    shown = index()
    assert f"{failing.name}</a> of {organization} fails: It &lt;b&gt;refuses&lt;/b&gt;." in shown
    assert (f">{working.name}<" in shown, f">{elsewhere.name}<" in shown) == (False, False)
    assert f">{elsewhere.name}<" in index(is_superuser=True)

"""Factories of core's records."""

from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from core.ids import uuid7
from core.integrations.providers import RECEIVES
from core.models import (
    APIKey,
    AuditEvent,
    IdempotencyKey,
    Integration,
    IntegrationEvent,
    Membership,
    Organization,
    Role,
    Scope,
    User,
    Webhook,
    WebhookDelivery,
)
from core.models.api_keys import digest_of

WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the specification's own example

INTEGRATION_TOKEN = "token-of-the-factory"
INTEGRATION_SECRET = "webhook-secret-of-the-factory"
CONFIGS = {
    "github": {"repository": "octocat/hello-world", "label": "muster"},
    "slack": {"channel": "#deployments", "events": ["task.*"]},
    "jira": {"api_url": "https://example.atlassian.net", "email": "ada@example.com"},
    "stripe": {"customer": "cus_NffrFeUfNV2Hib", "plans": {"price_1MoBy5": "pro", "price_1MoBy6": "enterprise"}},
    "custom": {"api_url": "https://api.example.org", "check_path": "/status"},
}
"""A configuration that each provider takes."""


class OrganizationFactory(DjangoModelFactory):
    """An organization without members."""

    class Meta:
        model = Organization
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Organization {n}")
    slug = factory.Sequence(lambda n: f"organization-{n}")


class UserFactory(DjangoModelFactory):
    """A user who can't log in by password, unless ``password`` gives one.

    ``memberships__organization`` makes the user a member there.
    """

    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"user{n}@example.com")
    username = factory.LazyAttribute(lambda user: user.email.partition("@")[0])
    name = factory.Sequence(lambda n: f"User {n}")

    @classmethod
    def _create(cls, model_class: Any, *args: Any, password: str | None = None, **kwargs: Any) -> User:
        return User.objects.create_user(kwargs.pop("email"), password, **kwargs)

    @factory.post_generation
    def memberships(self, create: bool, extracted: Any, organization: Any = None, **kwargs: Any) -> None:
        if organization is not None:
            MembershipFactory(user=self, organization=organization, **kwargs)


class MembershipFactory(DjangoModelFactory):
    """A membership of a new user in a new organization."""

    class Meta:
        model = Membership

    organization = factory.SubFactory(OrganizationFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.MEMBER


class APIKeyFactory(DjangoModelFactory):
    """An API key with every scope. Its text is the attribute ``text``."""

    class Meta:
        model = APIKey
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory)
    user = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda n: f"Key {n}")
    prefix = factory.Sequence(lambda n: f"Test{n:04d}")
    digest = factory.LazyAttribute(lambda key: digest_of(secret_of(key.prefix)))
    scopes = factory.LazyFunction(lambda: list(Scope.values))

    @factory.post_generation
    def text(self, create: bool, extracted: Any, **kwargs: Any) -> None:
        self.text = f"mst_{self.prefix}_{secret_of(self.prefix)}"  # type: ignore[attr-defined]


def secret_of(prefix: str) -> str:
    """Return the secret of the key that the factory makes with this prefix."""
    return f"{prefix}Secret".ljust(43, "x")


class AuditEventFactory(DjangoModelFactory):
    """An event that no row change wrote."""

    class Meta:
        model = AuditEvent

    organization = factory.SubFactory(OrganizationFactory)
    event_type = "organization.note"
    resource_type = "organization"
    resource_id = factory.SelfAttribute("organization.pk")


class IdempotencyKeyFactory(DjangoModelFactory):
    """A key whose request made something."""

    class Meta:
        model = IdempotencyKey

    organization = factory.SubFactory(OrganizationFactory)
    principal = factory.LazyFunction(uuid7)
    key = factory.Sequence(lambda n: f"request-{n}")
    digest = bytes(32)
    status = 201
    body = b"{}"


class IntegrationFactory(DjangoModelFactory):
    """An integration with a service of our own, or with the ``provider`` that is named."""

    class Meta:
        model = Integration

    organization = factory.SubFactory(OrganizationFactory)
    provider = "custom"
    name = factory.Sequence(lambda n: f"Integration {n}")
    config = factory.LazyAttribute(lambda integration: CONFIGS[integration.provider])
    token = INTEGRATION_TOKEN
    webhook_secret = factory.LazyAttribute(
        lambda integration: INTEGRATION_SECRET if integration.provider in RECEIVES else ""
    )


class IntegrationEventFactory(DjangoModelFactory):
    """Something that GitHub told us, and that waits."""

    class Meta:
        model = IntegrationEvent

    organization = factory.SubFactory(OrganizationFactory)
    integration = factory.SubFactory(
        IntegrationFactory, organization=factory.SelfAttribute("..organization"), provider="github"
    )
    delivery_id = factory.Sequence(lambda n: f"delivery-{n}")
    event_type = "issues.labeled"
    subject = factory.Sequence(lambda n: f"github.com/issue/{n}")
    occurred_at = factory.LazyFunction(timezone.now)
    payload = factory.LazyFunction(lambda: {"action": "labeled"})


class WebhookFactory(DjangoModelFactory):
    """A webhook of all tasks' events. Its secret is ``WEBHOOK_SECRET``."""

    class Meta:
        model = Webhook

    organization = factory.SubFactory(OrganizationFactory)
    url = factory.Sequence(lambda n: f"https://hooks.example.org/{n}")
    event_types = factory.LazyFunction(lambda: ["task.*"])
    secret = WEBHOOK_SECRET


class WebhookDeliveryFactory(DjangoModelFactory):
    """A delivery that waits, of an event that no row change wrote."""

    class Meta:
        model = WebhookDelivery

    organization = factory.SubFactory(OrganizationFactory)
    webhook = factory.SubFactory(WebhookFactory, organization=factory.SelfAttribute("..organization"))
    event = factory.SubFactory(AuditEventFactory, organization=factory.SelfAttribute("..organization"))
    event_type = factory.SelfAttribute("event.event_type")
    resource_id = factory.SelfAttribute("event.resource_id")
    next_attempt_at = factory.LazyFunction(timezone.now)

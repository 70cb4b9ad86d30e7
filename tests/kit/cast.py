"""The cast: people with a role in an organization, and the clients they send requests with."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from core.models import APIKey, Membership, Organization, Role, Scope, User
from tests.factories.core import APIKeyFactory, MembershipFactory, UserFactory
from tests.kit.client import ApiClient


@dataclass(frozen=True)
class Actor:
    """A member of an organization. ``client`` has a session, ``by_key`` a key with every scope."""

    user: User
    organization: Organization
    role: Role

    @property
    def membership(self) -> Membership:
        """Return the actor's membership as it stands."""
        return Membership.objects.get(organization=self.organization, user=self.user)

    @cached_property
    def client(self) -> ApiClient:
        """Return a client that is logged in."""
        client = ApiClient()
        client.force_login(self.user)
        return client

    @cached_property
    def key(self) -> APIKey:
        """Return an API key with every scope; its text is ``key.text``."""
        return APIKeyFactory(organization=self.organization, user=self.user, scopes=Scope.values)

    @cached_property
    def by_key(self) -> ApiClient:
        """Return a client that sends the key with every scope."""
        return ApiClient(key=self.key.text)  # type: ignore[attr-defined]

    def with_scopes(self, scopes: Iterable[str]) -> ApiClient:
        """Return a client that sends a key with these scopes only."""
        key = APIKeyFactory(organization=self.organization, user=self.user, scopes=list(scopes))
        return ApiClient(key=key.text)


def make_actor(organization: Organization, role: Role, name: str) -> Actor:
    """Make a user with a membership, and return them ready to act."""
    user = UserFactory(email=f"{name}@{organization.slug}.example", username=name, name=name.title())
    MembershipFactory(organization=organization, user=user, role=role)
    return Actor(user, organization, role)

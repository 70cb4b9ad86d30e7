"""The cast: people with a role in an organization, and the clients they send requests with."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from core.models import APIKey, Membership, Organization, Role, Scope, User
from tests.factories.core import APIKeyFactory, MembershipFactory, UserFactory
from tests.kit.client import ApiClient

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


@dataclass(frozen=True)
class Actor:
    """A member of an organization. ``client`` has a session, ``by_key`` a key with every scope."""

    user: User
    organization: Organization
    role: Role
    membership: Membership
    key: APIKey
    client: ApiClient
    by_key: ApiClient

    def with_scopes(self, scopes: Iterable[str]) -> ApiClient:
        """Return a client that sends a key with these scopes only."""
        key = APIKeyFactory(organization=self.organization, user=self.user, scopes=list(scopes))
        return ApiClient(key=key.text)


def logged_in(user: User) -> ApiClient:
    """Return a client with a session of the user's, as logging in makes it, without what it tells and notes."""
    session = SessionStore()
    session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session.create()
    client = ApiClient()
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    return client


def make_actor(organization: Organization, role: Role, name: str) -> Actor:
    """Make a user with a membership, a key and a session, so that nothing is written on their account later."""
    user = UserFactory(email=f"{name}@{organization.slug}.example", username=name, name=name.title())
    membership = MembershipFactory(organization=organization, user=user, role=role)
    key = APIKeyFactory(organization=organization, user=user, scopes=Scope.values)
    return Actor(user, organization, role, membership, key, logged_in(user), ApiClient(key=key.text))

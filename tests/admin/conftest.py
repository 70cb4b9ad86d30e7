"""The staff: what Django's permissions allow, in the organizations that one is a member of."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from core.models import Organization, Role, User
from tests.factories.core import UserFactory
from tests.kit.cast import Actor, make_actor

StaffMaker = Callable[..., "Staff"]


class Staff:
    """A member of staff, with a browser."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.client = Client()
        self.client.force_login(user)


@pytest.fixture
def superuser(db: None) -> Staff:
    """One who may do everything, and is a member nowhere."""
    return Staff(UserFactory(email="root@muster.example", is_staff=True, is_superuser=True, password="correct horse"))


@pytest.fixture
def make_staff(organization: Organization) -> StaffMaker:
    """Make staff of an organization (ours by default) with all permissions there are, or those named."""

    def make(
        name: str = "staff",
        role: Role = Role.ADMIN,
        at: Organization | None = None,
        permissions: list[str] | None = None,
    ) -> Staff:
        actor: Actor = make_actor(at or organization, role, name)
        user = actor.user
        user.is_staff = True
        user.save()
        granted = Permission.objects.all()
        if permissions is not None:
            granted = granted.filter(codename__in=permissions)
        user.user_permissions.set(granted)
        return Staff(user)

    return make


@pytest.fixture
def staff(make_staff: StaffMaker) -> Staff:
    """Staff of our organization with every permission, who is no superuser."""
    return make_staff()


@pytest.fixture
def foreign_staff(make_staff: StaffMaker, other_organization: Organization) -> Staff:
    """Staff of the other organization with every permission."""
    return make_staff("foreign", at=other_organization)

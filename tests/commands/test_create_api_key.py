"""`manage.py create_api_key`."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from core.models import APIKey, AuditEvent, Membership, Organization, Role, Scope
from tests.factories.core import MembershipFactory, OrganizationFactory, UserFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient


def create(*arguments: str) -> str:
    """What the command prints on standard output."""
    out = StringIO()
    call_command("create_api_key", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_it_prints_the_key_alone_and_the_key_works(owner: Actor) -> None:
    printed = create("acme")
    assert printed == printed.strip() + "\n"
    assert len(printed.split()) == 1
    answer = ApiClient(key=printed.strip()).get("/api/v1/organizations/")
    assert [row["slug"] for row in answer.json()["results"]] == ["acme"]


def test_by_default_it_is_the_oldest_owners_and_may_do_everything(owner: Actor, admin: Actor) -> None:
    MembershipFactory(organization=owner.organization, role=Role.OWNER)
    create("acme")
    key = APIKey.objects.latest("created_at")
    assert key.user == owner.user
    assert sorted(key.scopes) == sorted(Scope.values)
    assert key.name == "command line"


def test_name_scopes_and_user_can_be_chosen(owner: Actor, viewer: Actor) -> None:
    arguments = ["--scope", "catalog:read", "--scope", "core:read", "--user", viewer.user.email.upper()]
    create("acme", "--name", "Nightly report", *arguments)
    key = APIKey.objects.latest("created_at")
    assert (key.name, key.user, key.scopes) == ("Nightly report", viewer.user, ["catalog:read", "core:read"])


def test_the_event_says_that_a_command_made_it(owner: Actor) -> None:
    create("acme")
    event = AuditEvent.objects.filter(event_type="api_key.create").latest("timestamp")
    assert event.details == {"source": "command", "command": "create_api_key"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "Unknown organization: nowhere."),
        (["acme", "--scope", "catalog:read", "--scope", "all"], "Unknown scope: all. Known are core:read, core:write,"),
        (["acme", "--user", "nobody@acme.example"], "Unknown user: nobody@acme.example."),
        (["acme", "--user", "stranger@globex.example"], "stranger@globex.example is no member of acme."),
        (["empty"], "empty has no owner; name a member by --user."),
    ],
)
def test_what_is_wrong_is_named_and_no_key_is_made(
    owner: Actor, stranger: Actor, arguments: list[str], complaint: str
) -> None:
    OrganizationFactory(slug="empty")
    before = APIKey.objects.count()
    with pytest.raises(CommandError) as refusal:
        create(*arguments)
    assert str(refusal.value).startswith(complaint)
    assert APIKey.objects.count() == before


def test_an_older_owner_of_another_organization_does_not_count(db: None) -> None:
    person = UserFactory()
    first, second = OrganizationFactory(slug="first"), OrganizationFactory(slug="second")
    MembershipFactory(organization=first, user=person, role=Role.OWNER)
    heir: Membership = MembershipFactory(organization=second, role=Role.OWNER)
    create("second")
    assert APIKey.objects.get(organization=Organization.objects.get(slug="second")).user == heir.user

"""``manage.py create_api_key ORG_SLUG``: make an API key for a script or an agent."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import audit
from core.models import Membership, Organization, Role, Scope, User
from core.services import access


class Command(BaseCommand):
    """Prints the new key, and nothing else, on standard output: ``KEY=$(manage.py create_api_key acme)``."""

    help = "Make an API key and print it, alone, on standard output. It can't be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("organization", metavar="ORG_SLUG", help="The slug of the organization to act in.")
        parser.add_argument("--name", default="command line", help="What the key is for (default: %(default)s).")
        parser.add_argument(
            "--scope",
            action="append",
            dest="scopes",
            metavar="SCOPE",
            help=f"What the key may do; can be given several times (default: all). One of {', '.join(Scope.values)}.",
        )
        parser.add_argument(
            "--user", metavar="EMAIL", help="The member who answers for the key (default: the oldest owner)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the key, print it, and say on standard error whose it is."""
        scopes = options["scopes"] or Scope.values
        if unknown := sorted(set(scopes) - set(Scope.values)):
            raise CommandError(f"Unknown scope: {', '.join(unknown)}. Known are {', '.join(Scope.values)}.")
        organization = Organization.objects.filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError(f"Unknown organization: {options['organization']}.")
        member = _member(organization, options["user"])
        with audit.context("command", details={"command": "create_api_key"}):
            key, text = access.issue_key(
                user=member.user, organization_id=organization.pk, name=options["name"], scopes=scopes
            )
        self.stderr.write(f"{key.name}: acts for {member} in {organization.slug}; may {', '.join(key.scopes)}.")
        self.stdout.write(text)


def _member(organization: Organization, email: str | None) -> Membership:
    """Return the membership of the user with this email, or of the organization's oldest owner."""
    members = Membership.objects.filter(organization=organization).select_related("user")
    if email is None:
        owner = members.filter(role=Role.OWNER).order_by("created_at", "id").first()
        if owner is None:
            raise CommandError(f"{organization.slug} has no owner; name a member by --user.")
        return owner
    member = members.filter(user__email__iexact=email).first()
    if member is None:
        known = User.objects.filter(email__iexact=email).exists()
        raise CommandError(f"{email} is no member of {organization.slug}." if known else f"Unknown user: {email}.")
    return member

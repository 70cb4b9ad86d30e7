"""Fills an empty database for programs of their own, and says how to come in:

python -m tests.kit.cluster

migrates the database that the environment names, makes an organization with an owner who is staff, and prints the
text of an API key and the session's cookie, as JSON.
"""

import json


def main() -> None:
    """Migrate, make the records, print."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client

    from core.models import APIKey, Membership, Organization, Role, Scope, User

    call_command("migrate", verbosity=0)
    organization = Organization.objects.create(name="Acme", slug="acme", plan_tier="enterprise")
    user = User.objects.create_superuser(email="owner@acme.example", username="owner", name="Owner", password=None)
    Membership.objects.create(organization=organization, user=user, role=Role.OWNER)
    text = APIKey.issue(user=user, organization_id=organization.pk, name="Key", scopes=Scope.values)[1]
    client = Client()
    client.force_login(user)
    print(json.dumps({"key": text, "session": client.cookies[settings.SESSION_COOKIE_NAME].value}))


if __name__ == "__main__":
    main()

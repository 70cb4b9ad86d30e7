"""``manage.py unlock_login EMAIL``: let somebody log in again at once."""

from argparse import ArgumentParser
from ipaddress import ip_address
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import audit
from core.limits import logins


class Command(BaseCommand):
    """Forgets the failed logins of an email, or of an address."""

    help = "Forget the failed logins of an email, from everywhere or from one address, or those of an address."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("email", nargs="?", default="", metavar="EMAIL", help="The email that can't log in.")
        parser.add_argument("--address", default="", help="The address from which logging in fails.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Forget them, and say how many locks were undone."""
        email, address = options["email"].strip(), options["address"].strip()
        if not email and not address:
            raise CommandError("Name an email, an address by --address, or both.")
        if address:
            try:
                ip_address(address)
            except ValueError:
                raise CommandError(f"{address} is no IP address.") from None
        with audit.context("command", details={"command": "unlock_login"}):
            count = logins.unlock(email=email, address=address)
        self.stdout.write(f"{count} locks undone." if count != 1 else "1 lock undone.")

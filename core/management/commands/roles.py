"""``manage.py roles``: a role that owns and migrates, and one that serves with no more rights than it needs."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from core.backup.wording import one_line
from core.roles import Roles, RolesError


class Command(BaseCommand):
    """Repeat it after each migration and restore. Neither role gets a password: that is for psql."""

    help = "Make the owner and the serving role of the database, and grant each what it needs. Prints the SQL."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("--owner", default=Roles.owner, metavar="ROLE", help="Default: %(default)s.")
        parser.add_argument("--serving", default=Roles.serving, metavar="ROLE", help="Default: %(default)s.")
        parser.add_argument("--print", action="store_true", help="Print the SQL, and change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Grant, and print."""
        roles = Roles(options["owner"], options["serving"])
        try:
            statements = roles.statements() if options["print"] else roles.apply()
        except RolesError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(
                f"{one_line(error)} Run it as a superuser, or print the SQL for one (--print)."
            ) from error
        self.stdout.write("".join(f"{statement};\n" for statement in statements), ending="")
        if not options["print"]:
            self.stderr.write(f"Done. A role without a password gets one by psql: \\password {roles.serving}", str)

"""``manage.py rotate_secrets``: encrypt what is stored with the first of the keys."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import audit, encryption


class Command(BaseCommand):
    """After it, the other keys of ENCRYPTION_KEYS can go."""

    help = "Encrypt all stored secrets anew, with the first key of ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate, and say how many secrets there were."""
        with audit.context("command", details={"command": "rotate_secrets"}):
            try:
                number = encryption.rotate()
            except encryption.UnreadableSecretError as error:
                raise CommandError(str(error)) from error
        self.stdout.write(f"{number} secrets are encrypted with the first key now.")

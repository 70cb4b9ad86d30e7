"""``manage.py diagram``: the records and what refers to what."""

from typing import Any

from django.core.management.base import BaseCommand

from core import diagram


class Command(BaseCommand):
    """Prints docs/entities.md, made of the models. Asks no database."""

    help = "Print the page of the records, with Mermaid's entity diagrams: redirect it to docs/entities.md."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the page."""
        self.stdout.write(diagram.document(), ending="")

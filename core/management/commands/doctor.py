"""``manage.py doctor``: what is wrong with this installation, and how to mend it."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from core.doctor import Finding, Level, examine

MARKS = {Level.OK: "✓", Level.WARNING: "!", Level.PROBLEM: "✗"}
NAME_WIDTH = 13


class Command(BaseCommand):
    """Prints the findings of `core.doctor`; ends with status 1 when one of them is a problem."""

    help = "Check environment, database and schema, and say how to mend what is wrong."
    # They are among what the doctor checks, and one that fails would keep it from looking further.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("--format", choices=["text", "json"], default="text", help="For people, or for programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine, print, and exit."""
        findings = []
        for name, finding in examine():
            findings.append((name, finding))
            if options["format"] == "text":
                self._tell(name, finding)
        levels = [finding.level for _, finding in findings]
        problems, warnings = levels.count(Level.PROBLEM), levels.count(Level.WARNING)
        if options["format"] == "json":
            rows = [
                {"check": name, "level": finding.level, "message": finding.message, "remedy": finding.remedy}
                for name, finding in findings
            ]
            self.stdout.write(json.dumps({"healthy": not problems, "findings": rows}, indent=2, ensure_ascii=False))
        else:
            self.stdout.write(f"\n{_count(problems, 'problem')}, {_count(warnings, 'warning')}.")
        if problems:
            sys.exit(1)

    def _tell(self, name: str, finding: Finding) -> None:
        style = {Level.OK: self.style.SUCCESS, Level.WARNING: self.style.WARNING, Level.PROBLEM: self.style.ERROR}
        self.stdout.write(f"{style[finding.level](MARKS[finding.level])} {name:{NAME_WIDTH}} {finding.message}")
        if finding.remedy:
            self.stdout.write(f"  {'':{NAME_WIDTH}} → {finding.remedy}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

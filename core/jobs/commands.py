"""Management commands as jobs: what they print is logged, since a worker's output is its log."""

import logging
from io import StringIO

from django.core.management import call_command

logger = logging.getLogger(__name__)


def run_command(name: str) -> None:
    """Run a command. Its errors are the job's."""
    output = StringIO()
    try:
        call_command(name, stdout=output)
    finally:
        for line in filter(None, output.getvalue().splitlines()):
            logger.info("%s: %s", name, line)

#!/usr/bin/env python
"""Muster's command line: Django's commands and Muster's own."""

import os
import sys
from typing import NoReturn


def main() -> None:
    """Run the command named on the command line; what the operator can mend is told in one line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings
    from django.core.management import execute_from_command_line
    from django.db import DataError, IntegrityError, OperationalError

    from config.variables import ConfigurationError

    try:
        # Django would put a wrong setting off until something needs it, and show half a help text.
        settings.INSTALLED_APPS  # noqa: B018
        execute_from_command_line(sys.argv)
    except ConfigurationError as error:
        refuse(error, str(error))
    except OperationalError as error:
        from config.unreachable import explanation

        text = explanation(error)
        if text is None:
            raise
        refuse(error, text)
    except (IntegrityError, DataError) as error:
        if "loaddata" not in sys.argv[1:2]:
            raise
        from core.violations import explain

        violation = explain(error)
        rule = f"\n{violation.message}" if violation else ""
        # What follows the first line shows the record whole.
        refuse(error, f"{str(error).splitlines()[0]}{rule}\nNothing was loaded.")


def refuse(error: Exception, message: str) -> NoReturn:
    """End with status 1 and one line on standard error, or with a traceback if `--traceback` asks for it."""
    if "--traceback" in sys.argv:
        raise error
    sys.exit(message)


if __name__ == "__main__":
    main()

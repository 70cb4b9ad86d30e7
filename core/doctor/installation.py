"""What the doctor sees without a database: variables, Django's own checks, files."""

import difflib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core import checks
from django.core.files.storage import FileSystemStorage, default_storage

from config import env
from config.variables import ConfigurationError
from core.doctor.findings import Finding, ok, problem, warning

# Variables with this beginning are meant for Muster; whatever else stands in the environment is anybody's.
OUR_PREFIX = "DB_"


def check_variables() -> Iterator[Finding]:
    """Read each variable of the table, and look for names that the table doesn't have."""
    known = {variable.name: variable for group in env.GROUPS.values() for variable in group}
    for variable in known.values():
        try:
            variable.get()
        except ConfigurationError as error:
            yield problem(str(error), "Correct it in the environment or in .env.")
    for name, place in sorted(_names_given().items()):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}?" if near else "`python -m config.env markdown` lists them all."
            yield warning(f"{name} ({place}) is no variable of Muster.", f"Rename or remove it: {meant}")
    given = sum(variable.is_set() for variable in known.values())
    yield ok(f"{given} of {len(known)} variables are set, all of them right")


def _names_given() -> dict[str, str]:
    """Return the names that seem meant for Muster, with where they stand."""
    names = {name: "environment" for name in os.environ if name.startswith(OUR_PREFIX)}
    path = env.BASE_DIR / ".env"
    if path.is_file():
        names |= dict.fromkeys(re.findall(r"^\s*(?:export\s+)?(\w+)\s*=", path.read_text(), re.MULTILINE), ".env")
    return names


def check_mode() -> Iterator[Finding]:
    """See that DEBUG is on only where nobody else comes."""
    if settings.DEBUG and not settings.EMBEDDED:
        yield warning(
            "DEBUG is on, with a database of its own configured: error pages show source code and settings.",
            "Set DEBUG=0 unless this is a developer's machine.",
        )
    yield ok("DEBUG is on: this is a developer's machine" if settings.DEBUG else "DEBUG is off")


def check_secret_key() -> Iterator[Finding]:
    """See that the key, if it was made and kept here, is its owner's alone."""
    path = settings.DATA_DIR / "secret_key"
    if env.SECRET_KEY.is_set():
        yield ok("SECRET_KEY is set")
    elif path.stat().st_mode & 0o077:
        yield problem("Other users can read the kept secret key.", f"chmod 600 {path}")
    else:
        yield ok(f"kept in {path}")


def check_django() -> Iterator[Finding]:
    """Run Django's own checks, with those for deployment unless DEBUG is on."""
    messages = checks.run_checks(include_deployment_checks=not settings.DEBUG)
    serious = [message for message in messages if message.level >= checks.WARNING and not message.is_silenced()]
    for message in serious:
        about = f"{message.obj}: " if message.obj else ""
        text = " ".join(f"{about}{message.msg} ({message.id})".split())
        make = problem if message.is_serious() else warning
        yield make(text, " ".join((message.hint or "See Django's documentation of system checks.").split()))
    yield ok("`manage.py check` finds nothing")


def check_media() -> Iterator[Finding]:
    """Write a file where uploads go; a look at the permissions would believe a full or read-only disk."""
    if not isinstance(default_storage, FileSystemStorage):
        yield ok(f"kept by {type(default_storage).__name__}")
        return
    folder = Path(default_storage.location)
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(b"doctor")
    except OSError as error:
        yield problem(
            f"Uploads can't be kept in {folder}: {(error.strerror or str(error)).lower()}.",
            f"Give it to this user (chown {_own_name()} {nearest}), or set DATA_DIR to another folder.",
        )
    else:
        yield ok(f"{folder} can be written")


def _own_name() -> str:
    return str(os.geteuid())


def check_static() -> Iterator[Finding]:
    """See that `collectstatic` has run since the files changed, where files are served under hashed names."""
    if not isinstance(staticfiles_storage, ManifestFilesMixin):
        yield ok("served as they are; nothing to collect")
        return
    collected = staticfiles_storage.hashed_files
    wanted = {path for finder in finders.get_finders() for path, _ in finder.list(["CVS", ".*", "*~"])}
    missing = sorted(wanted - set(collected))
    if missing:
        yield problem(
            f"{len(missing)} of {len(wanted)} static files aren't collected ({missing[0]} is one).",
            "manage.py collectstatic --noinput",
        )
    else:
        yield ok(f"{len(wanted)} files are collected")

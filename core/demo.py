"""The demo story: what ``fixtures/`` holds, put into a database once, and the login that shows it."""

import json
import os
import secrets
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, transaction

from core.errors import ConflictError
from core.models import APIKey, AuditEvent, Membership, Organization, Record, Role, Scope, User
from core.models.api_keys import matches, parse_key
from core.services import access
from core.violations import explain

FIXTURE = "demo.json"
STAFF_EMAIL = "staff@muster.example"


def fixtures() -> list[Path]:
    """Return the story's files, in the order in which they load."""
    return [path for folder in settings.FIXTURE_DIRS if (path := Path(folder, FIXTURE)).exists()]


def is_loaded(fixture: Path) -> bool:
    """Tell whether any record of the file stands in the database.

    One is enough: what somebody deleted or changed since then is theirs, and loading again would undo it.
    """
    keys = defaultdict(list)
    for row in json.loads(fixture.read_text()):
        if "pk" in row:
            keys[row["model"]].append(row["pk"])
    return any(apps.get_model(model)._base_manager.filter(pk__in=pks).exists() for model, pks in keys.items())


def load() -> list[Path]:
    """Load the files of the story that aren't loaded yet, all or none, and return them.

    Raises:
        ConflictError: a record of the story and one that stood there before exclude each other.
    """
    missing = [fixture for fixture in fixtures() if not is_loaded(fixture)]
    try:
        with transaction.atomic():
            for fixture in missing:
                call_command("loaddata", fixture, verbosity=0)
    except IntegrityError as error:
        violation = explain(error)
        reason = violation.message if violation else " ".join(str(error).split())
        raise ConflictError(
            f"Nothing was loaded: the story and what stands there exclude each other. {reason}"
        ) from error
    return missing


def is_strangers() -> bool:
    """Tell whether the database serves somebody already: it has organizations, and none is the story's."""
    return Organization.objects.exists() and not any(map(is_loaded, fixtures()))


def summary() -> list[tuple[str, list[tuple[str, Any]]]]:
    """Return what stands in the database: by app, the name of each kind of record and how many there are.

    An app adds lines of its own by a method ``summary()`` of its AppConfig, which returns (name, value) pairs.
    """
    parts = []
    for config in apps.get_app_configs():
        lines: list[tuple[str, Any]] = [
            (str(model._meta.verbose_name_plural), model._base_manager.count())
            for model in config.get_models()
            if issubclass(model, (Record, AuditEvent))
        ]
        lines += config.summary() if hasattr(config, "summary") else []
        if lines:
            parts.append((str(config.verbose_name), lines))
    return parts


@dataclass(frozen=True)
class Credentials:
    """A staff login with all rights, and an API key of the story's first organization.

    Kept in a file that only its owner may read, because the database has only digests of them.
    """

    email: str
    password: str
    api_key: str

    @classmethod
    def kept_in(cls, path: Path) -> Self | None:
        """Return the credentials that the file keeps, or None if it keeps none."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def keep_in(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=2)
        draft.replace(path)


def credentials(path: Path) -> Credentials:
    """Return credentials that work: those that the file keeps, or new ones in the place of what fails."""
    kept = Credentials.kept_in(path)
    password = kept.password if kept and _opens_the_admin(kept) else None
    api_key = kept.api_key if kept and _is_usable(kept.api_key) else None
    if kept and password and api_key:
        return kept
    with transaction.atomic():
        fresh = Credentials(STAFF_EMAIL, password or _new_password(), api_key or _new_api_key())
    fresh.keep_in(path)
    return fresh


def _opens_the_admin(kept: Credentials) -> bool:
    user = User.objects.filter(email=kept.email, is_active=True, is_staff=True, is_superuser=True).first()
    return user is not None and user.email == STAFF_EMAIL and user.check_password(kept.password)


def _new_password() -> str:
    """Make the staff user, or give the one who is there a new password and all rights."""
    password = secrets.token_urlsafe(12)
    rights = {"is_active": True, "is_staff": True, "is_superuser": True}
    user = User.objects.filter(email__iexact=STAFF_EMAIL).first()
    if user is None:
        User.objects.create_superuser(STAFF_EMAIL, password, name="Demo staff", email_verified=True)
    else:
        for name, value in rights.items():
            setattr(user, name, value)
        user.set_password(password)
        user.save()
    return password


def _is_usable(text: str) -> bool:
    """Tell whether the key still opens the API."""
    parsed = parse_key(text)
    if parsed is None:
        return False
    key = APIKey.objects.usable().filter(prefix=parsed[0], user__is_active=True, organization__is_active=True).first()
    return key is not None and matches(parsed[1], key.digest)


def _new_api_key() -> str:
    """Make a key of the oldest organization's oldest owner."""
    owner = Membership.objects.filter(role=Role.OWNER, user__is_active=True, organization__is_active=True)
    member = owner.select_related("user").order_by("organization__created_at", "created_at", "id").first()
    if member is None:
        raise Membership.DoesNotExist("The database has no organization with an owner.")
    return access.issue_key(user=member.user, organization_id=member.organization_id, name="Demo", scopes=Scope.values)[
        1
    ]

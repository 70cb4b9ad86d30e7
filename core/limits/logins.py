"""Failed logins: slowed, and then locked, by email and address together, by address, and by email.

Counted are the failures of each email from each address, of each address whatever the email (one who tries many
people's), and of each email whatever the address (many who try one person's; NIST SP 800-63B, 5.2.2, wants at most
100 in a row). Who is locked is told so before the password is looked at: a right one is refused too, and nothing tells
whether there is such a user. The counts are rows of the database, hold for all processes, and survive them.

An attempt is counted before its password is checked, and the count taken back when it was right: so many attempts
at once are no more than one after the other.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Greatest, Left, Upper
from django.utils import timezone

from core import audit
from core.limits.models import EMAIL_LENGTH, LoginFailures
from core.limits.waits import told

FREE_FAILURES = 1  # of one email from one address, before each makes the next attempt wait: 1 s, 2 s, 4 s, …
ADDRESS_FACTOR = 10
EMAIL_FACTOR = 20
IPV6_NETWORK = 64  # bits, which a client has for itself


class LoginLockedError(Exception):
    """Too many logins failed. ``wait`` is how long no more are taken."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(f"Too many logins failed. Try again in {told(wait)}.")
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login that is under way, and what it counts against."""

    rows: tuple[LoginFailures, ...]

    @property
    def locks(self) -> tuple[LoginFailures, ...]:
        """Return the counts that reach their limit if it fails."""
        return tuple(row for row in self.rows if row.failures >= limit_of(row))


def begin(email: str, address: str | None) -> Attempt:
    """Count an attempt to log in; LoginLockedError where none is taken. To be followed by ``succeed`` or ``fail``.

    Arguments: ``email`` as it was typed; ``address`` the client's, None where there is none, as in a command.
    """
    if not settings.LOGIN_FAILURE_LIMIT:
        return Attempt(())
    subjects = _subjects(email, network(address))
    with transaction.atomic():
        rows = _locked_rows(subjects)
        now = timezone.now()
        waits = [row.locked_until - now for row in rows if row.locked_until and row.locked_until > now]
        if waits:
            raise LoginLockedError(max(waits))
        for row in rows:
            _count(row, now)
            row.save(update_fields=["failures", "last_failed_at", "locked_until"])
    return Attempt(rows)


def succeed(attempt: Attempt) -> None:
    """Forget the failures of the email; those of the address stay, less this attempt, which wasn't one.

    Otherwise who has an account could forget the failures with others' in between.
    """
    for row in attempt.rows:
        failures = Value(0) if row.email else Greatest(F("failures") - 1, Value(0))
        LoginFailures.objects.filter(pk=row.pk).update(failures=failures, locked_until=None)


def fail(attempt: Attempt) -> None:
    """Record what the failure locked; it is counted already."""
    for row in attempt.locks:
        audit.record("login.lock", resource_type="user", success=False, **_told(row))


def unlock(*, email: str = "", address: str = "") -> int:
    """Forget the failures of an email, of an address, or of the one from the other; return how many were locked.

    An email's are forgotten from every address, and the failures of the addresses themselves stay.
    """
    chosen = LoginFailures.objects.all()
    if email:
        chosen = chosen.filter(email=Left(Upper(Value(email)), EMAIL_LENGTH))
    if address:
        chosen = chosen.filter(address=network(address))
    return forget(chosen)


@transaction.atomic
def forget(chosen: QuerySet[LoginFailures]) -> int:
    """Begin the counts anew, record what is unlocked by it, and return how many were locked."""
    rows = list(chosen.select_for_update().order_by("pk"))
    locked = [row for row in rows if is_locked(row)]
    LoginFailures.objects.filter(pk__in=[row.pk for row in rows]).update(failures=0, locked_until=None)
    for row in locked:
        audit.record("login.unlock", resource_type="user", details=_told(row)["details"])
    return len(locked)


def forget_outdated() -> None:
    """Delete the counts that no longer matter."""
    LoginFailures.objects.filter(last_failed_at__lt=timezone.now() - _memory()).delete()


def is_locked(row: LoginFailures) -> bool:
    """Tell whether no logins are taken."""
    return row.locked_until is not None and row.locked_until > timezone.now()


def limit_of(row: LoginFailures) -> int:
    """Return how many failures lock it."""
    limit: int = settings.LOGIN_FAILURE_LIMIT
    if row.email and row.address:
        return limit
    return limit * (EMAIL_FACTOR if row.email else ADDRESS_FACTOR)


def network(address: str | None) -> str:
    """Return what of a client's address counts: of IPv6 the network. Empty where there is none."""
    if not address:
        return ""
    parsed = ip_address(address)
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network((int(parsed), IPV6_NETWORK), strict=False))


def _memory() -> timedelta:
    return timedelta(seconds=settings.LOGIN_LOCK_SECONDS)


def _subjects(email: str, address: str) -> list[tuple[str, str]]:
    """Return what an attempt counts against, as (email, address), each empty for any."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT left(upper(%s), %s)", [email, EMAIL_LENGTH])
        known = cursor.fetchone()[0]
    pairs = {(known, address), ("", address), (known, "")}
    return sorted(pair for pair in pairs if any(pair))


def _locked_rows(subjects: list[tuple[str, str]]) -> tuple[LoginFailures, ...]:
    """Return the rows of the subjects, made where need be, and locked in one order."""
    wanted = Q()
    for email, address in subjects:
        wanted |= Q(email=email, address=address)
    rows: tuple[LoginFailures, ...] = ()
    while len(rows) < len(subjects):  # again, where an outdated row was deleted in between
        blank = [LoginFailures(email=email, address=address) for email, address in subjects]
        LoginFailures.objects.bulk_create(blank, ignore_conflicts=True)
        rows = tuple(LoginFailures.objects.select_for_update().filter(wanted).order_by("email", "address"))
    return rows


def _count(row: LoginFailures, now: datetime) -> None:
    """Add a failure, and set what follows from it."""
    if row.last_failed_at is None or row.last_failed_at <= now - _memory():
        row.failures = 0
    row.failures += 1
    row.last_failed_at = now
    limit = limit_of(row)
    if row.failures >= limit:
        row.locked_until = now + _memory()
    elif row.email and row.address and row.failures > FREE_FAILURES:
        row.locked_until = now + min(_memory(), timedelta(seconds=2.0 ** (row.failures - FREE_FAILURES - 1)))
    else:
        row.locked_until = None


def _told(row: LoginFailures) -> dict[str, Any]:
    details = {"email": row.email, "address": row.address, "failures": row.failures}
    return {"user_email": row.email, "error_message": f"Too many logins failed: {row}.", "details": details}

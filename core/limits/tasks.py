"""Background jobs: what was counted long ago is forgotten."""

from datetime import timedelta

from django.utils import timezone

from core import jobs
from core.limits import logins
from core.limits.models import RateWindow

KEPT = timedelta(minutes=10)


@jobs.periodic("27 * * * *")
def forget_counts() -> None:
    """Delete the windows that are over, and the failed logins that no longer count."""
    RateWindow.objects.filter(ends_at__lt=timezone.now() - KEPT).delete()
    logins.forget_outdated()

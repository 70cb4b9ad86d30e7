"""What was counted: requests of the present minute, and logins that failed of late."""

from django.db import models

ADDRESS_LENGTH = 43  # an IPv6 network, written out
EMAIL_LENGTH = 254


class RateWindow(models.Model):
    """How much of a limit is taken in its present window. The table is unlogged: a crash begins all windows anew.

    Only the function ``muster_reserve`` writes it. Rows of windows that are over are deleted by a job.
    """

    bucket = models.CharField(max_length=100, primary_key=True)
    used = models.IntegerField()
    ends_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="limits_ratewindow_used",
                condition=models.Q(used__gte=0),
                violation_error_message="“used” can't be negative.",
            ),
        ]

    def __str__(self) -> str:
        return self.bucket


class LoginFailures(models.Model):
    """How often logging in failed with one email from one address; an empty one stands for any.

    The email is kept in capitals, as the database compares emails, so that no spelling gives one more try. Of an IPv6
    address only the network (/64) counts, within which a client takes what addresses it likes.
    """

    email = models.CharField(max_length=EMAIL_LENGTH, blank=True)
    address = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    failures = models.PositiveIntegerField(default=0)
    last_failed_at = models.DateTimeField(null=True)
    locked_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = verbose_name_plural = "failed logins"
        constraints = [
            models.UniqueConstraint(fields=["email", "address"], name="limits_loginfailures_pair"),
            models.CheckConstraint(
                name="limits_loginfailures_of_something",
                condition=~models.Q(email="", address=""),
                violation_error_message="Failures are of an email, of an address, or of both.",
            ),
        ]
        indexes = [
            models.Index(fields=["last_failed_at"], name="limits_loginfailures_age"),
            models.Index(fields=["address"], name="limits_loginfailures_address"),
        ]

    def __str__(self) -> str:
        return " from ".join((self.email or "any email", self.address or "any address"))

"""Factories of what is counted."""

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from core.limits.models import LoginFailures


class LoginFailuresFactory(DjangoModelFactory):
    """One failure with a new email from one address."""

    class Meta:
        model = LoginFailures

    email = factory.Sequence(lambda n: f"NOBODY{n}@EXAMPLE.COM")
    address = "192.0.2.1"
    failures = 1
    last_failed_at = factory.LazyFunction(timezone.now)

"""Secrets that have to be read again, encrypted at rest: what a webhook signs with, what an integration logs in with.

Fernet (AES-128 in CBC mode with HMAC-SHA256, the ``cryptography`` package's own recipe). ``ENCRYPTION_KEYS`` names the
keys: the first encrypts, all decrypt. To rotate, put a new key in front, run ``manage.py rotate_secrets``, and take the
old one out. Without the variable, the key is derived from ``SECRET_KEY``.
"""

import base64
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

# Imported where it is used: it takes 6 MB of each process, and most never meet a secret.
if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

TOKEN_START = "gAAAAA"  # noqa: S105 (of every Fernet token: version 0x80 and a time before the year 2106, in base64)
FERNET = rf"^{TOKEN_START}[A-Za-z0-9_-]+=*$"
BATCH = 500


class UnreadableSecretError(Exception):
    """None of the keys decrypts a stored secret."""


@cache
def _fernet(keys: tuple[str, ...], secret_key: str) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    if not keys:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derived = HKDF(SHA256(), length=32, salt=None, info=b"muster secrets").derive(secret_key.encode())
        return MultiFernet([Fernet(base64.urlsafe_b64encode(derived))])
    return MultiFernet([Fernet(key) for key in keys])


def fernet() -> "MultiFernet":
    """Return what encrypts and decrypts."""
    return _fernet(tuple(settings.ENCRYPTION_KEYS), settings.SECRET_KEY)


def is_token(text: str) -> bool:
    """Tell whether a text is encrypted already."""
    return text.startswith(TOKEN_START)


def refuse_encrypted(text: str) -> None:
    """Raise ValidationError for a text, given as a secret, that would be taken for encrypted already.

    Who holds the encrypted text of somebody's secret, from a dump say, could have it decrypted so, and sent where they
    like.
    """
    if is_token(text):
        raise ValidationError("A secret doesn't begin so.", code="invalid")


def encrypted(field: str, *, name: str) -> models.CheckConstraint:
    """Return the constraint that a secret is stored encrypted, or not at all."""
    return models.CheckConstraint(
        name=name,
        condition=models.Q(**{field: ""}) | models.Q(**{f"{field}__regex": FERNET}),
        violation_error_message=f"“{field}” is stored encrypted, and not otherwise.",
    )


class SecretField(models.TextField):
    """A text that only the program reads: the column holds it encrypted.

    What is read is the encrypted text, which ``reveal`` decrypts where it is used: so no page or log shows more by
    accident, and a record whose key is lost can be opened and given a new secret. A value that is encrypted already is
    stored as it is, so that dumps load again.
    """

    def get_prep_value(self, value: Any) -> Any:
        """Return what the column holds."""
        value = super().get_prep_value(value)
        if value in (None, "") or is_token(value):
            return value
        return fernet().encrypt(value.encode()).decode()

    def value_to_string(self, obj: models.Model) -> str:
        """Return what a dump holds: the encrypted text."""
        return str(self.get_prep_value(self.value_from_object(obj)) or "")


def reveal(text: str) -> str:
    """Return the secret that a stored text stands for. One that isn't stored yet is itself.

    Raises UnreadableSecretError when the key isn't there any more.
    """
    if not is_token(text):
        return text
    from cryptography.fernet import InvalidToken

    try:
        return fernet().decrypt(text).decode()
    except (InvalidToken, ValueError):
        raise UnreadableSecretError("No key of ENCRYPTION_KEYS decrypts this secret.") from None


def secret_fields() -> Iterator[tuple[type[models.Model], SecretField]]:
    """Yield every encrypted field, with its model."""
    for model in apps.get_models():
        yield from ((model, field) for field in model._meta.local_fields if isinstance(field, SecretField))


def rotate() -> int:
    """Encrypt every stored secret anew with the first key, and return how many there were.

    Raises UnreadableSecretError at one that no key decrypts; those before it are rotated.
    """
    from cryptography.fernet import InvalidToken

    number = 0
    for model, field in secret_fields():
        stored = model._base_manager.exclude(**{field.name: ""}).exclude(**{field.name: None}).order_by("pk")
        for pk, token in stored.values_list("pk", field.name).iterator(BATCH):
            try:
                fresh = fernet().rotate(token).decode()
            except (InvalidToken, ValueError):
                raise UnreadableSecretError(f"No key decrypts “{field.name}” of {model._meta.label} {pk}.") from None
            # One that was changed meanwhile was encrypted with the first key then.
            number += stored.filter(pk=pk, **{field.name: token}).update(**{field.attname: fresh})
    return number

"""Fields and constraints that catalog's models share: money, currencies, JSON of one shape."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import BooleanField, CheckConstraint, F, Func, Q, TextField, Value

from catalog.currencies import validate_currency

MAX_DIGITS, DECIMAL_PLACES = 19, 4


class MoneyField(models.DecimalField):
    """An exact amount, in the currency that stands beside it.

    numeric(19, 4): ISO 4217 knows currencies of up to four decimal places, and 15 places before the point hold the
    largest orders in the smallest units. ``money`` constraints hold each amount to its currency's own minor unit.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        options = {"max_digits": MAX_DIGITS, "decimal_places": DECIMAL_PLACES} | options
        super().__init__(*args, **options)

    @property
    def validators(self) -> list[Any]:
        """Return Django's validators, and that an amount is zero or more."""
        return [*super().validators, MinValueValidator(0)]


class CurrencyField(models.CharField):
    """A currency's code by ISO 4217."""

    default_validators = [validate_currency]

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("max_length", 3)
        super().__init__(*args, **options)


class IsMoney(Func):
    """Whether an amount is zero or more, and a whole number of its currency's minor units."""

    function = "catalog_is_money"
    arity = 2
    output_field = BooleanField()


class IsCurrency(Func):
    """Whether a code is a currency's."""

    function = "catalog_is_currency"
    arity = 1
    output_field = BooleanField()


class JSONType(Func):
    """The type of a JSON value: object, array, string, number, boolean or null."""

    function = "jsonb_typeof"
    arity = 1
    output_field = TextField()


def money(model: str, *fields: str) -> list[CheckConstraint]:
    """Return the constraints that hold a model's currency to ISO 4217, and its amounts to that currency."""
    return [
        CheckConstraint(
            name=f"catalog_{model}_currency",
            condition=IsCurrency(F("currency")),
            violation_error_message="“currency” must be a currency of ISO 4217.",
        ),
        *(
            CheckConstraint(
                name=f"catalog_{model}_{field}_money",
                condition=IsMoney(F(field), F("currency")),
                violation_error_message=f"“{field}” must be zero or more, in whole minor units of its currency.",
            )
            for field in fields
        ),
    ]


def json_is(kind: str, field: str, *, name: str) -> CheckConstraint:
    """Return the constraint that a JSON field holds a value of one type."""
    return CheckConstraint(
        name=name,
        condition=models.lookups.Exact(JSONType(F(field)), Value(kind)),
        violation_error_message=f"“{field}” must be a JSON {kind}.",
    )


def implies(condition: Q, consequence: Q, *, name: str, message: str) -> CheckConstraint:
    """Return the constraint that where ``condition`` holds, ``consequence`` does. Neither may be null."""
    return CheckConstraint(name=name, condition=~condition | consequence, violation_error_message=message)


def validate_object(value: Any) -> None:
    """Raise ValidationError unless the value is a JSON object."""
    if not isinstance(value, dict):
        raise ValidationError("This must be a JSON object.", "not_an_object")


def validate_images(value: Any) -> None:
    """Raise ValidationError unless the value is a list of objects, each with the ``url`` of an image."""
    if not isinstance(value, list):
        raise ValidationError("This must be a list of images.", "not_a_list")
    for position, image in enumerate(value):
        url = image.get("url") if isinstance(image, dict) else None
        if not (isinstance(url, str) and url.startswith(("https://", "http://", "/"))):
            raise ValidationError(f"Image {position} has no “url” that begins with https://, http:// or /.", "no_url")

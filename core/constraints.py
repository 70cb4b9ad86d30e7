"""Constraints that Django has no class for, and short forms of those that every model has."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models.lookups import Exact

EVENT_PATTERN = r"(\*|[a-z0-9_]+\.(\*|[a-z0-9_]+))"
"""What a pattern of event types is, to Python and PostgreSQL alike: `task.complete`, `task.*` or `*`."""

DIGEST = r"^[0-9a-f]{64}$"
"""What a SHA-256 is in hexadecimal."""


def column_of(model: type[models.Model], name: str) -> str:
    """Return the column that holds the field ``name`` of ``model``."""
    column = getattr(model._meta.get_field(name), "column", None)
    assert isinstance(column, str), f"{model.__name__}.{name} has no column"
    return column


class OrganizationKey(models.UniqueConstraint):
    """Organization and id together, which ``SameOrganization`` constraints of other tables refer to.

    A subclass has in ``key`` the fields of a longer one, for a ``SameOrganization`` that shares more.
    """

    key: Sequence[str] = ("organization", "id")

    def __init__(self, *, name: str, **options: Any) -> None:
        super().__init__(**options | {"fields": list(self.key), "name": name})

    def remove_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor) -> str:  # type: ignore[override]
        """Return the statement that drops the constraint, and whatever refers to it still."""
        quote = schema_editor.quote_name
        return f"ALTER TABLE {quote(model._meta.db_table)} DROP CONSTRAINT {quote(self.name)} CASCADE"


class SameOrganization(models.BaseConstraint):
    """A composite foreign key: the row that ``field`` refers to belongs to this row's own organization.

    It takes the place of the plain foreign key, so declare the field with ``db_constraint=False``; the model
    it refers to has an ``OrganizationKey``, as every ``OrganizationRecord`` does. Checked at the end
    of the transaction, like Django's own foreign keys, so that fixtures may come in any order.

    A subclass has in ``shared`` all the columns in which the two rows agree.
    """

    shared: Sequence[str] = ("organization_id",)

    def __init__(self, field: str, *, name: str, violation_error_message: str | None = None) -> None:
        self.field = field
        super().__init__(
            name=name,
            violation_error_code="does_not_exist",
            violation_error_message=violation_error_message
            or f"“{field}” refers to a record that doesn't exist in this organization.",
        )

    def _reference(self, model: type[models.Model]) -> models.ForeignKey:
        field = model._meta.get_field(self.field)
        assert isinstance(field, models.ForeignKey), f"{model.__name__}.{self.field} is no foreign key"
        return field

    def constraint_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor) -> None:  # type: ignore[override]
        """Leave the statement for the migration's end, when the key that it refers to surely stands."""
        quote = schema_editor.quote_name
        target = self._reference(model).related_model
        column, key = quote(column_of(model, self.field)), quote(column_of(target, "id"))
        shared = ", ".join(map(quote, self.shared))
        schema_editor.deferred_sql.append(
            f"ALTER TABLE {quote(model._meta.db_table)} ADD CONSTRAINT {quote(self.name)} "
            f"FOREIGN KEY ({shared}, {column}) REFERENCES {quote(target._meta.db_table)} ({shared}, {key}) "
            "DEFERRABLE INITIALLY DEFERRED"
        )

    def create_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor) -> str:  # type: ignore[override]
        """Leave the statement for the migration's end likewise; what is left to do now is nothing."""
        self.constraint_sql(model, schema_editor)
        return ""

    def remove_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor) -> str:  # type: ignore[override]
        """Return the statement that drops the constraint."""
        quote = schema_editor.quote_name
        return f"ALTER TABLE {quote(model._meta.db_table)} DROP CONSTRAINT IF EXISTS {quote(self.name)}"

    def validate(
        self,
        model: type[models.Model],
        instance: models.Model,
        exclude: Any = None,
        using: str = DEFAULT_DB_ALIAS,
    ) -> None:
        """Raise ValidationError when the instance refers to another organization's record."""
        if exclude and self.field in exclude:
            return
        field = self._reference(model)
        value = getattr(instance, field.attname)
        if value is None:
            return
        organization_id = instance.organization_id  # type: ignore[attr-defined]
        target = field.related_model._base_manager.using(using)
        if not target.filter(pk=value, organization_id=organization_id).exists():
            raise ValidationError(
                {self.field: ValidationError(self.get_violation_error_message(), code=self.violation_error_code)}
            )

    def deconstruct(self) -> Any:
        """Return how migrations write this constraint."""
        path, args, kwargs = super().deconstruct()
        kwargs.pop("violation_error_code", None)
        return path, args, kwargs | {"field": self.field}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SameOrganization):
            return (self.name, self.field) == (other.name, other.field)
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.field))


def one_of(field: str, choices: type[models.Choices], *, name: str, blank: bool = False) -> models.CheckConstraint:
    """Return the constraint that a choice field holds one of its choices, or if ``blank`` the empty text."""
    return models.CheckConstraint(
        name=name,
        condition=models.Q(**{f"{field}__in": [*choices.values, *([""] if blank else [])]}),
        violation_error_message=f"“{field}” must be one of: {', '.join(map(str, choices.values))}.",
    )


def given(field: str, *, name: str) -> models.CheckConstraint:
    """Return the constraint that a text isn't empty."""
    return models.CheckConstraint(
        name=name, condition=~models.Q(**{field: ""}), violation_error_message=f"“{field}” can't be empty."
    )


def between(field: str, least: int, most: int | None = None, *, name: str) -> models.CheckConstraint:
    """Return the constraint that a number lies between two bounds, both included."""
    condition = models.Q(**{f"{field}__gte": least})
    text = f"“{field}” must be {least} or more."
    if most is not None:
        condition &= models.Q(**{f"{field}__lte": most})
        text = f"“{field}” must lie between {least} and {most}."
    return models.CheckConstraint(name=name, condition=condition, violation_error_message=text)


class IsNumber(models.Func):
    """Whether a numeric is a number: PostgreSQL's NaN is greater than all others, so that no lower bound refuses it."""

    template = "(%(expressions)s <> 'NaN')"
    arity = 1
    output_field = models.BooleanField()


def amount(field: str, *, name: str) -> models.CheckConstraint:
    """Return the constraint that a decimal, if there is one, is a number of 0 or more."""
    return models.CheckConstraint(
        name=name,
        condition=models.Q(IsNumber(models.F(field)), **{f"{field}__gte": 0}),
        violation_error_message=f"“{field}” must be 0 or more.",
    )


def seconds(field: str, *, name: str) -> models.CheckConstraint:
    """Return the constraint that a float, if there is one, is a finite number of seconds, 0 or more."""
    return models.CheckConstraint(
        name=name,
        condition=models.Q(**{f"{field}__gte": 0, f"{field}__lt": float("inf")}),
        violation_error_message=f"“{field}” must be a number of seconds, 0 or more.",
    )


class Utf8(models.Func):
    """The bytes of a text."""

    template = "convert_to(%(expressions)s, 'UTF8')"
    arity = 1
    output_field = models.BinaryField()


class Octets(models.Func):
    """How many bytes there are."""

    function = "octet_length"
    arity = 1
    output_field = models.BigIntegerField()


class Sha256(models.Func):
    """The SHA-256 of bytes, in hexadecimal."""

    template = "encode(sha256(%(expressions)s), 'hex')"
    arity = 1
    output_field = models.TextField()


def digest(field: str, *, name: str) -> models.CheckConstraint:
    """Return the constraint that a text is a SHA-256 in hexadecimal."""
    return models.CheckConstraint(
        name=name,
        condition=models.Q(**{f"{field}__regex": DIGEST}),
        violation_error_message=f"“{field}” must be 64 hexadecimal digits.",
    )


def json_object(field: str, *, name: str) -> models.CheckConstraint:
    """Return the constraint that a JSON value is an object, not a list or a bare value."""
    kind = models.Func(models.F(field), function="jsonb_typeof", output_field=models.TextField())
    return models.CheckConstraint(
        name=name,
        condition=Exact(kind, "object"),
        violation_error_message=f"“{field}” must be a JSON object.",
    )

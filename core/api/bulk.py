"""Many records with one request: an array in place of an object. All of it is done or nothing, errors by position."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, TypeVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    models,
    transaction,
)
from django.db.models import ProtectedError
from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError
from rest_framework.serializers import ModelSerializer

from core.api import problems
from core.api.serializers import OrganizationRelatedField

BULK_LIMIT = 1000

Written = TypeVar("Written")


# --- What the array holds ----------------------------------------------------------------------------


def checked(items: Any) -> list[Any]:
    """Return the array; ValidationError where it is none, is empty, or has more than ``BULK_LIMIT`` items."""
    if not isinstance(items, list):
        raise ValidationError({"non_field_errors": ["Send an array."]}, "not_a_list")
    if not items:
        raise ValidationError({"non_field_errors": ["This array may not be empty."]}, "empty")
    if len(items) > BULK_LIMIT:
        raise ValidationError({"non_field_errors": [f"This array may hold at most {BULK_LIMIT} items."]}, "max_length")
    return items


def keys_of(model: Any, items: list[Any], *, alone: bool = False) -> list[Any]:
    """Return the key that each item names by its ``id``; ValidationError tells which name none, or one again.

    ``alone`` says that an item may have nothing besides.
    """
    keys: dict[Any, None] = {}
    errors: dict[str, Any] = {}
    for position, item in enumerate(items):
        try:
            key = _key_of(model, item, keys, alone=alone)
        except ValidationError as error:
            errors[str(position)] = error.detail
        else:
            keys[key] = None
    if errors:
        raise ValidationError(errors)
    return list(keys)


def _key_of(model: Any, item: Any, others: Container[Any], *, alone: bool) -> Any:
    if not isinstance(item, dict):
        raise ValidationError({"non_field_errors": ["Send an object with an id."]}, "invalid")
    if "id" not in item:
        raise ValidationError({"id": ["This field is required."]}, "required")
    if alone and (unknown := sorted(set(item) - {"id"})):
        raise ValidationError({name: ["There is no such field."] for name in unknown}, "unknown")
    try:
        key = model._meta.pk.to_python(str(item["id"]))
    except DjangoValidationError as error:
        raise ValidationError({"id": ["This is no id."]}, "invalid") from error
    if key in others:
        raise ValidationError({"id": ["This record is named before."]}, "repeated")
    return key


def prepared(serializer: Any, items: list[Any], instances: Sequence[models.Model] = ()) -> list[Any]:
    """Return a valid serializer for each item, of the instance that it changes; ValidationError goes by position."""
    _look_up_references(serializer, items)
    rows: list[Any] = []
    errors: dict[str, Any] = {}
    for position, item in enumerate(items):
        # A copy has the same fields: to make them anew for each row takes longer than to write it.
        row = copy(serializer)
        row.initial_data = item
        row.instance = instances[position] if instances else None
        if not row.is_valid():
            errors[str(position)] = row.errors
        rows.append(row)
    if errors:
        raise ValidationError(errors)
    return rows


def _look_up_references(serializer: Any, items: list[Any]) -> None:
    """Fetch all that the rows refer to, in one query for each reference and not one for each row."""
    items = [item for item in items if isinstance(item, dict)]
    for name, field in serializer.fields.items():
        if isinstance(field, OrganizationRelatedField) and not field.read_only:
            field.look_up(item[name] for item in items if item.get(name) is not None)


# --- Refusals by position ----------------------------------------------------------------------------


@contextmanager
def at(position: int) -> Iterator[None]:
    """Tell of what is refused inside the block by the position of its item."""
    try:
        yield
    except (OperationalError, InterfaceError):
        raise  # the database is out of reach, whatever the item
    except Exception as error:
        refusal = problems.translate(error)
        if refusal is None:
            raise
        if isinstance(refusal, ValidationError):
            raise ValidationError({str(position): refusal.detail}) from error
        refusal.positions = [str(position)]  # type: ignore[attr-defined]
        raise refusal from error


def written(
    all_of_them: Callable[[], Written], one: Callable[[int], Any], count: int, *, deferred: bool = True
) -> Written:
    """Write by ``all_of_them``; where the database refuses, write ``one`` after the other to learn which it is.

    Runs in a transaction, which the refusal takes back. What is checked at a transaction's end is checked here, unless
    ``deferred`` says that there is nothing to expect of it: it takes two statements.
    """
    try:
        with transaction.atomic():
            done = all_of_them()
            if deferred:
                connection.check_constraints()
    except (IntegrityError, DataError, ProtectedError) as error:
        if problems.translate(error) is None:
            raise
        for position in range(count):
            with at(position), transaction.atomic():
                one(position)
                connection.check_constraints()
        raise
    return done


def each_by_position(items: Sequence[Any], check: Callable[[Any], Any]) -> None:
    """Check each item; what is refused is told by position."""
    for position, item in enumerate(items):
        with at(position):
            check(item)


def one_by_one(items: Sequence[Any], write: Callable[[Any], Written]) -> list[Written]:
    """Write each item by its own service."""

    def one(position: int) -> Written:
        return write(copy(items[position]))  # what is written twice begins as it was

    def all_of_them() -> list[Written]:
        done = []
        for position in range(len(items)):
            with at(position):
                done.append(one(position))
        return done

    return written(all_of_them, one, len(items))


# --- Writing many rows at once -----------------------------------------------------------------------


def writes_plainly(serializer: Any) -> bool:
    """Tell whether saving means writing the row's own columns, and nothing else."""
    if not isinstance(serializer, ModelSerializer):
        return False
    model: Any = serializer.Meta.model
    own = {field.name for field in model._meta.concrete_fields}
    kind = type(serializer)
    return (
        (kind.create, kind.update, kind.save) == (ModelSerializer.create, ModelSerializer.update, ModelSerializer.save)
        and model.save is models.Model.save
        and all(field.source in own for field in serializer._writable_fields)
    )


def insert(rows: Sequence[Any], **stamps: Any) -> list[models.Model]:
    """Insert what the serializers hold, with one statement; ``stamps`` are values that all rows get."""
    model = rows[0].Meta.model
    records = [model(**stamps, **row.validated_data) for row in rows]

    def one(position: int) -> None:
        records[position].save(force_insert=True)

    # References were looked up just now, and are all that is deferred of plain rows.
    return written(lambda: model._base_manager.bulk_create(records), one, len(records), deferred=False)


def update(rows: Sequence[Any]) -> list[models.Model]:
    """Write the changes that the serializers hold, with a statement for each choice of fields."""
    by_fields: dict[tuple[str, ...], list[models.Model]] = defaultdict(list)
    for row in rows:
        for name, value in row.validated_data.items():
            setattr(row.instance, name, value)
        if row.validated_data:
            by_fields[tuple(sorted(row.validated_data))].append(row.instance)

    def all_of_them() -> None:
        for names, records in by_fields.items():
            type(records[0])._base_manager.bulk_update(records, names)

    def one(position: int) -> None:
        if rows[position].validated_data:
            rows[position].instance.save(update_fields=list(rows[position].validated_data))

    written(all_of_them, one, len(rows))
    return [row.instance for row in rows]


def remove(instances: Sequence[Any], delete_rows: Callable[[list[Any]], Any], delete: Callable[[Any], Any]) -> None:
    """Delete the records by ``delete_rows`` of all keys; where that is refused, ``delete`` of each tells why."""
    keys = [instance.pk for instance in instances]
    written(lambda: delete_rows(keys), lambda position: delete(copy(instances[position])), len(keys))


def missing(keys: list[Any], found: dict[Any, Any]) -> NotFound:
    """Return the error that names the positions of the keys that aren't among ``found``."""
    error = NotFound(ErrorDetail("There is no such record in your organization.", "not_found"))
    positions = [f"{position}.id" for position, key in enumerate(keys) if key not in found]
    error.positions = positions  # type: ignore[attr-defined]
    return error

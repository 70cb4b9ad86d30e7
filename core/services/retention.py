"""Retention: records that were deleted softly long ago, removed for good."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import IntegrityError, connection, models, transaction
from django.db.models import ProtectedError, RestrictedError

from core.models import SoftDeletion
from core.violations import explain

BATCH = 100
CHILD_BATCH = 1000


@dataclass(frozen=True)
class Held:
    """A record that stays, and why."""

    record: models.Model
    reason: str


@dataclass
class Purge:
    """How many rows were removed of each model, and what was held back."""

    removed: Counter[type[models.Model]] = field(default_factory=Counter)
    held: list[Held] = field(default_factory=list)


def purge(*, deleted_before: datetime, dry_run: bool = False) -> Purge:
    """Remove the records that were deleted softly before then, each with what hangs on it, children first.

    Each batch of records is a transaction of its own. A record stays, with all that hangs on it, while others
    refer to it that don't go with it. A dry run does the same in one transaction, and takes it back: what it says
    is what would happen, and what it would remove is locked meanwhile.
    """
    outcome = Purge()
    with transaction.atomic() if dry_run else nullcontext():
        for model in purgeable():
            for keys in _batches(model, deleted_before):
                _purge_batch(model, keys, deleted_before, outcome)
        if dry_run:
            transaction.set_rollback(True)
    return outcome


def purgeable() -> list[type[models.Model]]:
    """Return the models with soft deletion, those that refer to others of them first."""
    waiting = [model for model in apps.get_models() if issubclass(model, SoftDeletion)]
    ordered: list[type[models.Model]] = []
    while waiting:
        referred = {target for model in waiting for target in _referred(model)}
        first = [model for model in waiting if model not in referred] or waiting[:1]
        ordered += first
        waiting = [model for model in waiting if model not in first]
    return ordered


def _referred(model: type[models.Model]) -> set[Any]:
    """Return the other models that a model refers to."""
    return {each.related_model for each in model._meta.concrete_fields if each.is_relation} - {model}


def _batches(model: type[models.Model], deleted_before: datetime) -> Iterator[list[UUID]]:
    due = model._base_manager.filter(deleted_at__lt=deleted_before).order_by("pk").values_list("pk", flat=True)
    keys = list(due[:BATCH])
    while keys:
        yield keys
        keys = list(due.filter(pk__gt=keys[-1])[:BATCH])


def _purge_batch(model: type[models.Model], keys: list[UUID], deleted_before: datetime, outcome: Purge) -> None:
    """Remove the records together; where one is held back, each by itself."""
    try:
        with transaction.atomic():
            # What was restored meanwhile stays.
            rows = model._base_manager.select_for_update().filter(pk__in=keys, deleted_at__lt=deleted_before)
            records = list(rows.order_by("pk"))
            removed = _remove(model, [record.pk for record in records])
            connection.check_constraints()
    except (ProtectedError, RestrictedError, IntegrityError) as error:
        if len(keys) > 1:
            for key in keys:
                _purge_batch(model, [key], deleted_before, outcome)
        else:
            outcome.held.append(Held(records[0], _reason(error)))
    else:
        outcome.removed += removed


def _remove(model: type[models.Model], keys: Sequence[UUID]) -> Counter[type[models.Model]]:
    """Remove rows, in batches those that go with them before, and return how many of each model."""
    removed: Counter[type[models.Model]] = Counter()
    for relation in model._meta.get_fields(include_hidden=True):
        if getattr(relation, "on_delete", None) is not models.CASCADE or relation.concrete:
            continue
        child: Any = relation.related_model
        hanging = child._base_manager.filter(**{f"{relation.field.name}__in": keys})  # type: ignore[union-attr]
        while batch := list(hanging.values_list("pk", flat=True)[:CHILD_BATCH]):
            removed += _remove(child, batch)
    _, counts = model._base_manager.filter(pk__in=keys).delete()
    return removed + Counter({apps.get_model(label): count for label, count in counts.items()})


def _reason(error: ProtectedError | RestrictedError | IntegrityError) -> str:
    if isinstance(error, IntegrityError) and not isinstance(error, ProtectedError | RestrictedError):
        violation = explain(error)
        return violation.message if violation else str(error)
    referrers = error.protected_objects if isinstance(error, ProtectedError) else error.restricted_objects
    counts = Counter(each._meta for each in referrers)
    told = [
        f"{count:,} {meta.verbose_name if count == 1 else meta.verbose_name_plural}" for meta, count in counts.items()
    ]
    return f"still referred to, itself or its parts, by {', '.join(sorted(told))}"

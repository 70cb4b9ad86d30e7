"""Status fields that move only along drawn transitions, by compare-and-set.

A model draws its moves once::

    lifecycle = Lifecycle(
        Transition("pay", {"pending"}, "paid", stamp="paid_at"),
        Transition("cancel", {"pending", "paid"}, "cancelled", stamp="cancelled_at"),
    )

From that follow the trigger that refuses every other move, the names of the audit events (``order.pay``), and
``lifecycle.move(order, "pay")``, which changes the row only if it still stands where the move begins.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import models
from django.db.models.functions import Now

from core.errors import ConflictError

Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True)
class Transition:
    """One move: its name, the statuses it may begin in, the one it ends in, and the time column it stamps."""

    name: str
    sources: Collection[str]
    target: str
    stamp: str | None = None


class TransitionConflictError(ConflictError):
    """The row stands in a status from which the move isn't drawn."""

    code = "transition_conflict"

    def __init__(self, instance: models.Model, transition: Transition, current: str, field: str) -> None:
        resource = instance._meta.verbose_name
        allowed = " or ".join(f"'{source}'" for source in sorted(transition.sources))
        super().__init__(
            f"Can't {transition.name} this {resource}: it is '{current}', and must be {allowed} "
            f"to become '{transition.target}'.",
            field=field,
        )


class Lifecycle:
    """The transitions of one status field."""

    def __init__(self, *transitions: Transition, field: str = "status") -> None:
        self.field = field
        self.transitions = {transition.name: transition for transition in transitions}

    def __iter__(self) -> Iterator[Transition]:
        return iter(self.transitions.values())

    def verbs(self) -> dict[str, str]:
        """Return the name of each move by ``old>new``."""
        return {
            f"{source}>{transition.target}": transition.name
            for transition in self
            for source in sorted(transition.sources)
        }

    def pairs(self) -> list[tuple[str, str]]:
        """Return each drawn move as (old, new)."""
        return [tuple(move.split(">", 1)) for move in self.verbs()]  # type: ignore[misc]

    def allows(self, name: str, current: str) -> bool:
        """Tell whether the move ``name`` may begin in the status ``current``."""
        return current in self.transitions[name].sources

    def check(self, instance: models.Model, status: str) -> None:
        """Raise ConflictError, code ``transition_conflict``, where no move leads from the row's status to this one."""
        current = getattr(instance, self.field)
        if status != current and (current, status) not in self.pairs():
            resource = instance._meta.verbose_name
            raise ConflictError(
                f"This {resource} is '{current}', and can't become '{status}'.",
                code=TransitionConflictError.code,
                field=self.field,
            )

    def move(self, instance: Row, name: str, **changes: Any) -> Row:
        """Move ``instance`` along the transition ``name``, and return it as it then stands.

        ``changes`` are further columns to set in the same statement. Raises TransitionConflictError, and changes
        nothing, when the row stands elsewhere by now, whatever ``instance`` remembers.
        """
        transition = self.transitions[name]
        rows = type(instance)._base_manager.filter(pk=instance.pk)
        if transition.stamp:
            changes.setdefault(transition.stamp, Now())
        moved = rows.filter(**{f"{self.field}__in": transition.sources}).update(
            **{self.field: transition.target}, **changes
        )
        if not moved:
            current = rows.values_list(self.field, flat=True).get()
            raise TransitionConflictError(instance, transition, current, self.field)
        instance.refresh_from_db()
        return instance

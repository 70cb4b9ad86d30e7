"""Events as people read them in a channel."""

from functools import cache
from typing import Any

from django.apps import apps
from django.db.models import Model

from core.models import AuditEvent

MOST_CHANGES = 10
MOST_CHARACTERS = 300


def escape(text: str) -> str:
    """Return text as Slack shows it, mentions and links included (Slack, “Formatting text”)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def text_of(event: AuditEvent) -> str:
    """Return an event as a message: what happened to what, which fields changed, and who did it. No values."""
    lines = [f"*{event.event_type}*  {escape(_name_of(event))}".rstrip()]
    if event.old_value is not None and event.new_value is not None:
        names = [name for name, _, _ in event.changes()]
        more = f" and {len(names) - MOST_CHANGES} more" if len(names) > MOST_CHANGES else ""
        lines.append(f"changed: {', '.join(names[:MOST_CHANGES])}{more}")
    if event.error_message:
        lines.append(escape(event.error_message[:MOST_CHARACTERS]))
    if event.user_email:
        lines.append(f"by {escape(event.user_email)}")
    return "\n".join(lines)


def _name_of(event: AuditEvent) -> str:
    """Return what the event's object is called now, or was called when it was deleted."""
    model: Any = _models().get(event.resource_type)
    if model is None or event.resource_id is None:
        return ""
    row = model._base_manager.filter(pk=event.resource_id).first()
    name = str(row) if row else str((event.old_value or {}).get("name", event.resource_id))
    return name[:MOST_CHARACTERS]


@cache
def _models() -> dict[str, type[Model]]:
    """Return the records by their names in events."""
    return {model.resource(): model for model in apps.get_models() if hasattr(model, "resource")}

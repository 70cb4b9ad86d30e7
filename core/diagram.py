"""The records and what refers to what, as Markdown with Mermaid's entity diagrams: docs/entities.md."""

from collections.abc import Iterator
from pathlib import Path

from django.apps import AppConfig, apps
from django.conf import settings
from django.db import models

from core.models import Organization
from core.triggers import SharedTrigger

MANY = 8

HEAD = """\
# The records

Made of the models, by `uv run manage.py diagram > docs/entities.md`. A line leads from a record to one that refers to
it, and bears the reference's name. `||` is one, `|o` one or none, `o{` any number. All but a few records refer to their
organization; outside `core` that line is left out.
"""


def document() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(part for app in our_apps() for part in _section(app)), *_triggers()])


def our_apps() -> list[AppConfig]:
    """Return the project's own apps that have records, in the order in which they build on each other."""
    root = Path(settings.BASE_DIR)
    return [
        app
        for app in apps.get_app_configs()
        if Path(app.path).is_relative_to(root) and "site-packages" not in app.path and list(app.get_models())
    ]


def _section(app: AppConfig) -> Iterator[str]:
    records = sorted(app.get_models(), key=lambda model: model.__name__)
    yield f"## {app.name}\n"
    yield "```mermaid"
    yield "erDiagram"
    lines = [line for model in records for line in _relations(model)]
    named = {word for line in lines for word in line.split()}
    yield from (f"    {model.__name__}" for model in records if model.__name__ not in named)
    yield from lines
    yield "```\n"
    yield "| record | table | what it is |"
    yield "|---|---|---|"
    for model in records:
        yield f"| {model.__name__} | `{model._meta.db_table}` | {_purpose(model)} |"
    yield ""


def _triggers() -> Iterator[str]:
    """Yield the section of the triggers: what each kind does, and the records that it keeps."""
    kept: dict[type[SharedTrigger], set[str]] = {}
    everywhere = [model for app in our_apps() for model in app.get_models()]
    for model in everywhere:
        for trigger in getattr(model._meta, "triggers", []):
            kept.setdefault(type(trigger), set()).add(model.__name__)
    yield "## Triggers\n"
    yield "They hold for every writer, psql included. Functions: each app's `database_functions.py` and `sql/`.\n"
    yield "| trigger | what it does | of |"
    yield "|---|---|---|"
    for kind, names in sorted(kept.items(), key=lambda item: (-len(item[1]), item[0].__name__)):
        shown = f"{len(names)} of the {len(everywhere)} records" if len(names) > MANY else ", ".join(sorted(names))
        yield f"| {kind.__name__} | {_purpose(kind)} | {shown} |"
    yield ""


def _relations(model: type[models.Model]) -> Iterator[str]:
    """Yield a line of the diagram for each reference that the record has."""
    for field in (*model._meta.fields, *model._meta.local_many_to_many):
        target = field.related_model
        if not isinstance(target, type) or (target is Organization and model._meta.app_label != "core"):
            continue
        if isinstance(field, models.ManyToManyField):
            ends = "}o--o{"
        else:
            ends = ("|o" if field.null else "||") + "--" + ("o|" if field.unique else "o{")
        yield f"    {target.__name__} {ends} {model.__name__} : {field.name}"


def _purpose(kind: type) -> str:
    """Return the first paragraph of the class's docstring, in one line."""
    text = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return text.replace("``", "`").replace("|", "\\|")

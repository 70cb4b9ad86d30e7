"""Buttons for the moves of a lifecycle."""

from typing import Any

from django.http import HttpRequest

from core.admin import RecordAction


def move(name: str, **options: Any) -> RecordAction:
    """Return the action that moves a record along the transition ``name``. The options are RecordAction's."""

    def run(request: HttpRequest, record: Any) -> None:
        record.lifecycle.move(record, name)

    return RecordAction(name, run, **options)

"""Migration operations."""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState


class InstallTriggers(Operation):
    """Installs every trigger that an app's models have so far, as their ``CreateModel`` options state them.

    One operation for all: an ``AddTrigger`` each makes Django render the models anew each time, which took most of
    the time of migrating an empty database.
    """

    reduces_to_sql = True
    reversible = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Leave the state as it is: the options hold the triggers already."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Install the triggers."""
        for trigger in _triggers(app_label, to_state):
            schema_editor.execute(trigger.install_sql, params=None)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Take the triggers away."""
        for trigger in _triggers(app_label, to_state):
            schema_editor.execute(trigger.uninstall_sql, params=None)

    def describe(self) -> str:
        """Return what the operation does, for people."""
        return "Install the triggers of the models"


def _triggers(app_label: str, state: ProjectState) -> list[Any]:
    """Return the compiled triggers of the app's models."""
    return [
        trigger
        for (label, _), model in state.models.items()
        if label == app_label
        for trigger in model.options.get("triggers", [])
    ]

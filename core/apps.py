"""The core app."""

from django.apps import AppConfig, apps
from django.core import checks


class CoreConfig(AppConfig):
    """Identity, tenancy, audit, and the kits of models, API and admin."""

    name = "core"
    verbose_name = "People and history"

    def ready(self) -> None:
        """Attach to every record the triggers that its base classes promise."""
        from core.models.base import Record

        for model in apps.get_models():
            if issubclass(model, Record):
                for trigger in model.inherited_triggers():
                    trigger.register(model)  # type: ignore[arg-type]

        from core.checks import check_read_path

        checks.register(check_read_path)

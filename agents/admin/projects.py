"""Projects and their contexts."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from agents.admin.modifications import ModificationAdmin  # noqa: F401 (registers itself)
from agents.admin.moves import move
from agents.models import Project, ProjectContext
from agents.services import comparison, projects
from core.admin import RecordAdmin
from core.admin.forms import RecordForm


@admin.register(Project)
class ProjectAdmin(RecordAdmin):
    """Projects."""

    description = "What squads work on."
    list_display = ("name", "organization", "status", "squad", "created_at")
    list_filter = ("organization", "status", "squad", "created_by", "created_at")
    search_fields = ("name", "description")
    fieldsets = (
        (None, {"fields": ("name", "description", "squad", "status", "created_by")}),
        ("Elsewhere", {"fields": ("repository_url", "external_workspace_id", "external_folder_id", "metadata")}),
    )
    readonly_fields = ("status", "created_by")
    related_lists = (("agents.ProjectContext", "project__id__exact"),)
    record_actions = (
        move("begin"),
        move("hold"),
        move("resume"),
        move("complete"),
        move("archive", confirm="Put the project away? It can't be brought back."),
    )

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        """Save the project, and who made it."""
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]
        super().save_model(request, obj, form, change)


@admin.register(ProjectContext)
class ProjectContextAdmin(RecordAdmin):
    """Contexts. A new one is the next version; one that stands never changes."""

    description = "How projects stood, version after version."
    list_display = ("project", "version", "organization", "test_coverage", "security_score", "performance_score")
    list_filter = ("organization", "project", "created_by", "created_at")
    search_fields = ("^project__name",)
    list_select_related = ("project",)
    form = RecordForm
    new_fields = (
        "project",
        "codebase",
        "configuration",
        "dependencies",
        "test_coverage",
        "security_score",
        "performance_score",
    )
    related_lists = (("agents.Modification", "context__id__exact"),)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return what a new one is made of, or all that one tells which stands."""
        if obj is None:
            return list(self.new_fields)
        return ["project", "version", *self.new_fields[1:], "created_by", "changes"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return what is told besides the fields."""
        return [*super().get_readonly_fields(request, obj), *(["version", "created_by", "changes"] if obj else [])]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a context never changes."""
        return False

    @admin.display(description="Changes since the version before")
    def changes(self, context: ProjectContext) -> SafeString:
        """Return what changed since the version before."""
        return render_to_string("admin/agents/changes.html", {"changes": comparison.since_previous(context=context)})

    def save_model(self, request: HttpRequest, obj: ProjectContext, form: Any, change: bool) -> None:
        """Append the next version."""
        values = {name: getattr(obj, name) for name in self.new_fields}
        made = projects.append_context(created_by=request.user, **values)  # type: ignore[arg-type]
        obj.__dict__.update(made.__dict__)

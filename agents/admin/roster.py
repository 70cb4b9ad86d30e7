"""Agents, squads and their members."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from agents.admin.moves import move
from agents.models import Agent, Squad, SquadMember
from core.admin import RecordAdmin, RecordInline


@admin.register(Agent)
class AgentAdmin(RecordAdmin):
    """Agents. Their status changes by the buttons, their counts by what they report."""

    description = "Who and what does work: language models, browsers, tools, people."
    list_display = ("name", "organization", "kind", "status", "model_name", "total_actions", "total_errors")
    list_filter = ("organization", "kind", "status", "last_seen_at", "created_by", "created_at")
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "kind", "status", "tools", "config")}),
        ("Model", {"fields": ("model_provider", "model_name", "system_prompt")}),
        ("Browser", {"fields": ("channel", "headless")}),
        ("Work", {"fields": ("total_actions", "total_errors", "last_seen_at", "created_by")}),
    )
    readonly_fields = ("status", "total_actions", "total_errors", "last_seen_at", "created_by")
    related_lists = (("agents.SquadMember", "agent__id__exact"),)
    record_actions = (move("start"), move("run"), move("stop"), move("fail", confirm="Note that the agent broke down?"))

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        """Save the agent, and who made it."""
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]
        super().save_model(request, obj, form, change)


class MemberInline(RecordInline):
    """The members of a squad."""

    model = SquadMember
    fields = ("agent", "role", "is_active")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a member never becomes another agent's, and the rest is changed on a page of its own."""
        return False


@admin.register(Squad)
class SquadAdmin(RecordAdmin):
    """Squads, with their members."""

    description = "Agents that work together."
    list_display = ("name", "organization", "status", "owner", "created_at")
    list_filter = ("organization", "status", "owner", "created_at")
    search_fields = ("^name",)
    fields = ("name", "description", "owner", "status", "settings")
    readonly_fields = ("status",)
    inlines = (MemberInline,)
    related_lists = (("agents.Project", "squad__id__exact"),)
    record_actions = (
        move("pause"),
        move("resume"),
        move("archive", confirm="Put the squad away? It can't be brought back."),
    )


@admin.register(SquadMember)
class SquadMemberAdmin(RecordAdmin):
    """Members of squads."""

    description = "Which agent is in which squad, and in what role."
    list_display = ("agent", "squad", "organization", "role", "is_active")
    list_filter = ("organization", "squad", "agent", "role", "is_active")
    search_fields = ("^agent__name",)
    fields = ("squad", "agent", "role", "system_prompt", "model_provider", "model_name", "is_active")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return squad and agent besides, once the member stands."""
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "squad", "agent"] if obj else fields

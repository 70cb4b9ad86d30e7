"""Round tables, with their entries, and the button that judges them; entries and votes, to look at."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.admin.leaderboard import LeaderboardPage
from agents.models import RoundTable, RoundTableEntry, RoundTableVote
from agents.models.roundtables import MAX_ENTRIES
from agents.services import round_tables
from core.admin import ReadOnlyAdmin, RecordAction, RecordAdmin, RecordInline, WholeTextFilter
from core.admin.forms import ReadableJSONField

ASKED = ("prompt", "task_category", "judge", "criteria", "duration")


class JudgeForm(forms.Form):
    """A judgement: a ranking, scores, or both. Entries are named as lists show them, provider/model."""

    judge = forms.CharField(max_length=200, required=False, help_text="Empty: the one that the round table names.")
    ranking = forms.CharField(
        required=False,
        max_length=10_000,
        widget=forms.Textarea({"rows": 6, "cols": 80}),
        help_text="A line a rank, the best first: provider/model. Entries that tie share a line, with “=” between.",
    )
    scores = ReadableJSONField(
        required=False, help_text='By entry and criterion: {"provider/model": {"accuracy": 9, "style": 7}}.'
    )
    winner = forms.CharField(max_length=400, required=False, help_text="Which one wins, where several share rank 1.")


def judge(request: HttpRequest, round_table: RoundTable, **said: Any) -> None:
    """Judge the round table as the form says. Raises ValidationError for entries that it hasn't."""
    known = {str(entry): entry.pk for entry in round_table.entries.all()}

    def key(name: str) -> UUID:
        if name.strip() not in known:
            raise ValidationError(f"“{name.strip()}” is none of the entries: {', '.join(known)}.")
        return known[name.strip()]

    ranks: dict[UUID, int] = {}
    lines = [line for line in said["ranking"].splitlines() if line.strip()]
    for rank, line in enumerate(lines, start=1):
        for name in line.split("="):
            if ranks.setdefault(key(name), rank) != rank:
                raise ValidationError(f"“{name.strip()}” has two ranks.")
    if not isinstance(said["scores"] or {}, dict):
        raise ValidationError("Scores are a JSON object of entries.")
    scores = {key(name): each for name, each in (said["scores"] or {}).items()}
    round_tables.judge_round_table(
        round_table=round_table,
        judge=said["judge"],
        verdicts=[round_tables.Verdict(pk, scores.get(pk), ranks.get(pk)) for pk in {**ranks, **scores}],
        winner_id=key(said["winner"]) if said["winner"] else None,
    )


class EntryInline(RecordInline):
    """The entries, which can be changed until they are judged."""

    model = RoundTableEntry
    fields = ("rank", "provider", "model", "response", "total_score", "tokens", "cost", "latency", "error")
    readonly_fields = ("rank", "total_score")
    max_num = MAX_ENTRIES

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """Return how many empty rows to draw."""
        return 0 if obj else 2

    def _is_open(self, obj: Any) -> bool:
        return obj is None or obj.is_pending

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse once the round table is judged."""
        return self._is_open(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse once the round table is judged."""
        return self._is_open(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse once the round table is judged."""
        return self._is_open(obj) and super().has_delete_permission(request, obj)


@admin.register(RoundTable)
class RoundTableAdmin(LeaderboardPage, RecordAdmin):
    """Round tables. They are judged once by their button; one that was judged is cancelled, not deleted."""

    description = "Prompts that several models answered, and how a judge ranked the answers; with a leaderboard."
    list_display = (
        "__str__",
        "organization",
        "status",
        "task_category",
        "judge",
        "winner",
        "entry_count",
        "total_cost",
        "judged_at",
        "created_at",
    )
    list_keep = ("prompt",)
    list_filter = (
        "organization",
        "status",
        ("task_category", WholeTextFilter),
        ("judge", WholeTextFilter),
        "created_at",
    )
    search_fields = ("prompt",)
    search_help_text = "Words of the prompt."
    fieldsets = (
        (None, {"fields": ("prompt", "task_category", "status", "result_id", "criteria", "duration")}),
        ("Judgement", {"fields": ("judge", "winner", "consensus", "vote_count", "judged_at")}),
        ("Sums", {"fields": ("entry_count", "total_cost")}),
        ("More", {"fields": ("metadata",)}),
    )
    readonly_fields = (*("status", "winner", "consensus", "vote_count", "judged_at", "entry_count", "total_cost"),)
    inlines = (EntryInline,)
    related_lists = (
        ("agents.RoundTableEntry", "round_table__id__exact"),
        ("agents.RoundTableVote", "round_table__id__exact"),
    )
    record_actions = (
        RecordAction("judge", judge, form=JudgeForm, bulk=False),
        RecordAction(
            "cancel",
            lambda request, round_table: round_tables.cancel_round_table(round_table=round_table),
            confirm="Call the round table off? It stays, and counts on no leaderboard.",
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return what a judgement rests on besides, once it is made."""
        fields = super().get_readonly_fields(request, obj)
        return fields if obj is None or obj.is_pending else [*fields, *ASKED]

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save the entries, and what they sum up to."""
        super().save_formset(request, form, formset, change)
        if form.instance.is_pending:
            round_tables.sum_up(round_table=form.instance)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete the round table, unless it was judged."""
        round_tables.delete_round_table(round_table=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Delete the round tables, unless one of them was judged."""
        for round_table in queryset.order_by("pk"):
            round_tables.delete_round_table(round_table=round_table)


@admin.register(RoundTableEntry)
class RoundTableEntryAdmin(ReadOnlyAdmin):
    """The entries of all round tables, to look at."""

    description = "Each model's answer at each round table, with its scores and rank."
    list_display = (
        *("model", "provider", "organization", "rank", "total_score", "tokens", "cost", "latency", "created_at"),
    )
    list_filter = (
        "organization",
        "round_table",
        ("provider", WholeTextFilter),
        ("model", WholeTextFilter),
        "rank",
        "created_at",
    )
    fields = (
        *("round_table", "provider", "model", "response", "error", "scores", "total_score", "rank"),
        *("tokens", "cost", "latency"),
    )
    related_lists = (("agents.Feedback", "round_table_entry__id__exact"),)


@admin.register(RoundTableVote)
class RoundTableVoteAdmin(ReadOnlyAdmin):
    """Votes, to look at: they stand as they were given."""

    description = "What judges said of two answers, shown in one order and in the other."
    list_display = ("judge", "organization", "first", "second", "preferred", "created_at")
    list_filter = ("organization", "round_table", ("judge", WholeTextFilter), "created_at")
    fields = ("round_table", "judge", "first", "second", "preferred")

"""Traces, with the page that draws one as a waterfall, and the sums that statistics are made of."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents.admin.figures import Figures
from agents.admin.overview import OverviewPage
from agents.models import SpanStatistic, Trace
from agents.services import traces, waterfall
from agents.services.figures import dollars, told
from core.admin import RangeFilter, ReadOnlyAdmin, WholeTextFilter
from core.models import AuditEvent

PAGES = {"execution": "agentexecution", "model_call": "modelcall", "tool_execution": "toolexecution"}


class DerivedAdmin(ReadOnlyAdmin):
    """What the database makes of spans, to read."""

    def events_of(self, record: Any) -> QuerySet[AuditEvent]:
        """Return none: what follows from other rows isn't audited."""
        return AuditEvent.objects.none()


class SecondsFilter(RangeFilter):
    """Durations from … to …: of a generated column, whose kind the kit can't tell."""

    def clean(self, name: str, value: str) -> float:
        """Return the number; ValueError when it is none."""
        return float(value)


class HasErrorsFilter(admin.SimpleListFilter):
    """Traces with errors."""

    title = "errors"
    parameter_name = "has_errors"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the two answers."""
        return [("1", "With errors"), ("0", "Without")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Return the traces that are asked for."""
        match self.value():
            case "1":
                return queryset.filter(errors__gt=0)
            case "0":
                return queryset.filter(errors=0)
        return queryset


@admin.register(Trace)
class TraceAdmin(Figures, DerivedAdmin):
    """Traces, newest first, each with its waterfall."""

    description = "What agents did, from a request to its answer, as waterfalls."
    list_display = (
        "root_name",
        "organization",
        "drawn",
        "root_agent_name",
        "root_status",
        "spans",
        "errors",
        "tokens",
        "costs",
        "took",
        "started_at",
    )
    list_filter = (
        "organization",
        "root_status",
        HasErrorsFilter,
        ("root_agent_name", WholeTextFilter),
        ("session_id", WholeTextFilter),
        "task_run",
        "squad",
        "cost",
        ("duration", SecondsFilter),
        "started_at",
    )
    ordering = ("-started_at", "-pk")
    search_fields = ("=session_id",)
    search_help_text = "A session's id, or a trace's."
    fieldsets = (
        (None, {"fields": ("root_name", "trace_id", "root_agent_name", "root_status", "session_id")}),
        ("Work", {"fields": ("task_run", "squad")}),
        ("When", {"fields": ("started_at", "completed_at", "duration")}),
        ("Spans", {"fields": ("spans", "model_calls", "tool_executions", "errors")}),
        (
            "Usage",
            {
                "fields": (
                    "input_tokens",
                    "output_tokens",
                    "cached_tokens",
                    "reasoning_tokens",
                    "cost",
                    "unpriced",
                )
            },
        ),
    )

    @property
    def media(self) -> Media:
        """Return the kit's, and the waterfall's style."""
        return super().media + Media(css={"all": ["agents/waterfall.css"]})

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Return the trace with this id, or the traces of the session."""
        key = traces.key_of(term) if len(term := search_term.strip()) == 32 else None
        return (queryset.filter(**key), False) if key else super().get_search_results(request, queryset, search_term)

    @admin.display(description="Tokens")
    def tokens(self, trace: Trace) -> str:
        """Return input and output together."""
        return f"{trace.input_tokens + trace.output_tokens:,}"

    @admin.display(description="Waterfall")
    def drawn(self, trace: Trace) -> SafeString:
        """Return the link to the page."""
        return format_html('<a href="{}">Waterfall</a>', self._address(trace))

    # --- The waterfall -----------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Return the kit's addresses and that of the waterfall."""
        page = path(
            "<path:object_id>/waterfall/",
            self.admin_site.admin_view(self.waterfall_view),
            name="agents_trace_waterfall",
        )
        return [page, *super().get_urls()]

    def action_buttons(self, request: HttpRequest, record: Any) -> list[dict[str, Any]]:
        """Return the button that leads to the waterfall."""
        button = {"title": "Waterfall", "url": self._address(record), "asks": True}
        return [button, *super().action_buttons(request, record)]

    def waterfall_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Draw the trace, or the part of it that is asked for: ``?under=<record's id>``, ``?from=<place>``."""
        trace = self.get_object(request, unquote(object_id))
        if trace is None:
            raise Http404
        if not self.has_view_permission(request, trace):
            raise PermissionDenied
        tree = traces.tree_of(trace)
        under = self._span_place(tree, request.GET.get("under"))
        begin = self._span_place(tree, request.GET.get("from"))
        drawing = waterfall.draw(trace, tree, under=under, begin=begin)
        for bar in drawing.bars:
            bar.url = self._record(bar.kind, bar.id)
            if bar.hidden and bar.hidden.failures:
                first = bar.hidden.first
                bar.hidden.first_url = self._record(traces.KINDS[tree.kinds[first]], tree.ids[first])
        context = {
            **self.admin_site.each_context(request),
            "title": f"Waterfall: {trace.root_name}",
            "opts": self.opts,
            "media": self.media,
            "trace": trace,
            "drawing": drawing,
            "took": told(trace.duration or 0),
            "cost": dollars(trace.cost),
            "kinds": waterfall.KINDS.values(),
        }
        return TemplateResponse(request, "admin/agents/trace/waterfall.html", context)

    def _span_place(self, tree: traces.Tree, asked: str | None) -> int | None:
        if not asked:
            return None
        place = tree.place_of(asked)
        if place is None:
            raise Http404
        return place

    def _address(self, trace: Trace) -> str:
        return reverse("admin:agents_trace_waterfall", args=(trace.pk,), current_app=self.admin_site.name)

    def _record(self, kind: str, key: str) -> str:
        try:
            return reverse(f"admin:agents_{PAGES[kind]}_change", args=(key,), current_app=self.admin_site.name)
        except NoReverseMatch:  # this site doesn't show that kind of record
            return ""


@admin.register(SpanStatistic)
class SpanStatisticAdmin(OverviewPage, DerivedAdmin):
    """The sums that statistics are made of, and the page that draws them."""

    description = "How many executions, model calls and tool executions began by hour and day, and what became of them."
    list_display = (
        "start",
        "organization",
        "kind",
        "dimension",
        "value",
        "width",
        "count",
        "failures",
        "input_tokens",
        "output_tokens",
        "cost",
    )
    list_filter = ("organization", "kind", "width", ("dimension", WholeTextFilter), ("value", WholeTextFilter), "start")
    fields = (
        *("kind", "dimension", "value", "width", "start", "count", "failures", "open"),
        *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost", "unpriced", "durations"),
    )

"""The search playground: the same search as the API's, with all figures; and what search keeps beside the chunks."""

import time
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import mark_safe

from core.admin import ReadOnlyAdmin
from core.admin.tenancy import reach_of
from core.admin.widgets import RecordSelect
from core.models import AuditEvent, Organization
from knowledge.embedders import EmbeddingError
from knowledge.models import Chunk, Collection, DocumentFrequency, Embedding, TermVector
from knowledge.services.search import MOST_CHARACTERS, MOST_HITS, MOST_NEIGHBOURS, Hit, Mode, Question, search


class MetadataField(forms.JSONField):
    """A JSON object, or nothing, which shows as nothing."""

    def prepare_value(self, value: Any) -> Any:
        """Return the text to show."""
        return "" if value is None else super().prepare_value(value)

    def clean(self, value: Any) -> Any:
        """Return the object; ValidationError when it is something else."""
        found = super().clean(value)
        if found is not None and not isinstance(found, dict):
            raise forms.ValidationError("This must be a JSON object.", "invalid")
        return found


class QuestionForm(forms.Form):
    """What is searched for, and where."""

    query = forms.CharField(max_length=MOST_CHARACTERS, label="Question", widget=forms.TextInput({"size": 60}))
    mode = forms.ChoiceField(choices=Mode.choices, initial=Mode.HYBRID, label="By")
    metadata = MetadataField(
        required=False, label="Metadata", widget=forms.TextInput({"placeholder": '{"team": "legal"}'})
    )
    created_after = forms.DateTimeField(required=False, label="Made from", widget=forms.DateInput({"type": "date"}))
    created_before = forms.DateTimeField(required=False, label="Made before", widget=forms.DateInput({"type": "date"}))
    limit = forms.IntegerField(min_value=1, max_value=MOST_HITS, initial=10, label="Hits")
    neighbours = forms.IntegerField(min_value=0, max_value=MOST_NEIGHBOURS, initial=0, label="Neighbours")

    def __init__(self, *args: Any, organizations: Any, collections: Any, site: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, rows in (("organization", organizations), ("collection", collections)):
            self.fields[name] = forms.ModelChoiceField(
                queryset=rows, widget=RecordSelect(Chunk._meta.get_field(name), site), required=name[0] == "o"
            )
        self.order_fields(["query", "organization", "collection", "mode"])

    def clean(self) -> dict[str, Any]:
        """Refuse a collection of another organization."""
        cleaned: dict[str, Any] = super().clean() or {}
        collection, organization = cleaned.get("collection"), cleaned.get("organization")
        if collection and organization and collection.organization_id != organization.pk:
            self.add_error("collection", "The organization has no such collection.")
        return cleaned

    def question(self) -> Question:
        """Return what is asked, once it is valid."""
        asked = dict(self.cleaned_data)
        collection = asked.pop("collection")
        del asked["organization"]
        return Question(
            text=asked.pop("query"),
            collections=[collection.pk] if collection else [],
            mode=Mode(asked.pop("mode")),
            **asked,
        )


def shown(hit: Hit) -> dict[str, Any]:
    """Return a hit as the template shows it."""
    # Escaped by the service but for its own <mark>.
    return {"hit": hit, "marked": mark_safe(hit.marked)}  # noqa: S308


class SearchPage(admin.ModelAdmin):
    """The part of the chunks' admin that serves the search playground."""

    def get_urls(self) -> list[URLPattern]:
        """Return the kit's addresses and that of the playground."""
        page = path("search/", self.admin_site.admin_view(self.search_view), name="knowledge_chunk_search")
        return [page, *super().get_urls()]

    def search_view(self, request: HttpRequest) -> HttpResponse:
        """Show the form and, once asked, what the API would answer, and how long it took."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        reach = reach_of(request)
        collections = reach.root(Collection.objects.all())
        asked = request.GET.copy()
        defaults = {"mode": Mode.HYBRID.value, "limit": "10", "neighbours": "0"}
        if "organization" not in asked:
            newest = collections.order_by("-pk").values_list("organization_id", flat=True).first()
            defaults["organization"] = str(newest or "")
        for name, value in defaults.items():
            asked.setdefault(name, value)
        form = QuestionForm(
            asked if "query" in asked else None,
            initial=asked.dict(),
            organizations=reach.root(Organization.objects.all()),
            collections=collections,
            site=self.admin_site,
        )
        context = {
            **self.admin_site.each_context(request),
            "title": "Search playground",
            "opts": self.opts,
            "media": self.media + form.media,
            "form": form,
        }
        if form.is_bound and form.is_valid():
            context |= self._answer(form)
        return TemplateResponse(request, "admin/knowledge/chunk/search.html", context)

    def _answer(self, form: QuestionForm) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            hits = search(organization_id=form.cleaned_data["organization"].pk, question=form.question())
        except EmbeddingError as error:
            form.add_error(None, str(error))
            return {}
        return {"hits": [shown(hit) for hit in hits], "milliseconds": 1000 * (time.perf_counter() - began)}


class PartAdmin(ReadOnlyAdmin):
    """The pages of what triggers and workers keep beside the chunks."""

    def events_of(self, record: Any) -> QuerySet[AuditEvent]:
        """Return none: what follows from chunks isn't audited."""
        return AuditEvent.objects.none()


@admin.register(Embedding)
class EmbeddingAdmin(PartAdmin):
    """Which chunks have a vector."""

    description = "Which chunks have a vector, and by which model."
    list_display = ("__str__", "organization", "model")
    list_filter = ("organization", "chunk", "model")
    list_select_related = ("organization",)
    fields = ("chunk", "model")
    ordering = ("model", "collection_id", "id")


@admin.register(TermVector)
class TermVectorAdmin(PartAdmin):
    """What words count for in chunks."""

    description = "What each word of a chunk counts for in search."
    list_display = ("__str__", "organization", "language")
    list_filter = ("organization", "chunk", "language")
    list_select_related = ("organization",)
    fields = ("chunk", "language", "lexemes")
    ordering = ("-id",)


@admin.register(DocumentFrequency)
class DocumentFrequencyAdmin(PartAdmin):
    """How frequent words are."""

    description = "In how many chunks of an organization each word stands."
    list_display = ("lexeme", "organization", "language", "chunks")
    list_filter = ("organization", "language")
    list_select_related = ("organization",)
    search_fields = ("=lexeme",)
    fields = ("language", "lexeme", "chunks")
    ordering = ("-chunks", "-id")

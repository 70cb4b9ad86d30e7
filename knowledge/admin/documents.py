"""Collections, documents, their versions and chunks."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.text import Truncator

from core.admin import DownloadMixin, ReadOnlyAdmin, RecordAction, RecordAdmin
from core.admin.forms import RecordForm
from core.errors import ConflictError
from knowledge.admin.search import SearchPage
from knowledge.api.views import send
from knowledge.embedders import embedding_models
from knowledge.models import Chunk, Collection, Document, DocumentStatus, DocumentVersion
from knowledge.models.collections import default_model
from knowledge.models.languages import Language
from knowledge.services import collections, documents

NOTE_CHARACTERS = 80


class SeveralFilesInput(forms.ClearableFileInput):
    """A choice of any number of files."""

    allow_multiple_selected = True


class SeveralFilesField(forms.FileField):
    """Any number of files, one at least. What is wrong with one of them is told of that one, once they are there."""

    widget = SeveralFilesInput

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_empty_file=True, **options)

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        """Return the files."""
        return [super(SeveralFilesField, self).clean(each, initial) for each in data or [None]]


class UploadForm(forms.Form):
    """The files that are to become documents."""

    uploads = SeveralFilesField(
        label="Files", help_text="Text, Markdown, HTML, PDF or DOCX. A file's name is the document's id."
    )
    language = forms.ChoiceField(
        choices=[("", "As the text tells"), *Language.choices],
        required=False,
        help_text="Where none is chosen, a document that is there already keeps its own.",
    )


class CollectionForm(RecordForm):
    """A collection, with a model that is set up here."""

    embedding_model = forms.ChoiceField(
        initial=default_model, help_text=Collection._meta.get_field("embedding_model").help_text
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if field := self.fields.get("embedding_model"):
            models = dict.fromkeys([*embedding_models(), self.instance.embedding_model])
            field.choices = [(model, model) for model in models]  # type: ignore[attr-defined]


def upload(request: HttpRequest, collection: Collection, uploads: list[Any], language: str) -> None:
    """Make documents of files. One that is refused stays out, and the others come in."""
    said = {"language": language} if language else {}
    for file in uploads:
        try:
            content = documents.content_of(
                documents.read_bounded(file), declared=file.content_type or "", name=file.name
            )
            document, outcome = documents.put_document(
                collection=collection, content=content, document_id=file.name, **said
            )
        except (documents.ContentRefusedError, ConflictError) as error:
            messages.error(request, f"“{file.name}”: {error}")
        else:
            place = "" if document.document_id == file.name else f"; its content is there as “{document.document_id}”"
            messages.info(request, f"“{file.name}”: {outcome.value}{place}.")


@admin.register(Collection)
class CollectionAdmin(RecordAdmin):
    """Collections, and how far their documents are."""

    description = "Documents that are split, embedded and searched alike."
    list_display = ("name", "organization", "documents", "embedding_model", "created_at")
    list_filter = ("organization", "created_at")
    search_fields = ("name", "description")
    form = CollectionForm
    fieldsets = (
        (None, {"fields": ("name", "description", "documents", "metadata")}),
        ("Chunks", {"fields": ("embedding_model", "search_model", "chunk_size", "chunk_overlap")}),
        ("Search", {"fields": ("hybrid_weight",)}),
    )
    readonly_fields = ("documents", "search_model")
    related_lists = (("knowledge.Document", "collection__id__exact"),)
    record_actions = (
        RecordAction("upload", upload, label="Upload documents", form=UploadForm, bulk=False),
        RecordAction(
            "reprocess",
            lambda request, collection: collections.reprocess_collection(collection=collection),
            confirm="Split and embed all its documents anew? Search finds the old chunks until then.",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Return the collections with the counts of their documents."""
        return collections.with_progress(super().get_queryset(request))

    @admin.display(description="Documents")
    def documents(self, collection: Collection) -> str:
        """Return how many documents are in each status, each a link to them."""
        if collection.pk is None or collection._state.adding:
            return "-"
        address = reverse("admin:knowledge_document_changelist", current_app=self.admin_site.name)
        counts = [
            (address, collection.pk, status, count, DocumentStatus(status).label.lower())
            for status, count in collections.progress_of(collection).items()
            if count
        ]
        link = '<a href="{}?collection__id__exact={}&status__exact={}">{} {}</a>'
        return format_html_join(", ", link, counts) or "none"

    def save_model(self, request: HttpRequest, obj: Collection, form: Any, change: bool) -> None:
        """Save the collection; documents are split anew where it says how."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        before = Collection.objects.get(pk=obj.pk)
        collections.change_collection(collection=obj, before=before)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete the collection with its documents."""
        collections.delete_collections(collections=Collection.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        """Delete the collections likewise."""
        collections.delete_collections(collections=queryset)


@admin.register(Document)
class DocumentAdmin(DownloadMixin, RecordAdmin):
    """Documents. They come by upload on their collection's page, by the API, or by ``import_documents``."""

    description = "What is to be found, how far its processing is, and why it failed."
    list_display = (
        "__str__",
        "organization",
        "collection",
        "status",
        "note",
        "chunk_count",
        "content_type",
        "created_at",
    )
    list_keep = ("title", "document_id", "error")
    list_filter = ("organization", "collection", "status", "language", "size", "created_at")
    list_select_related = ("organization", "collection")
    search_fields = ("title", "document_id", "source_uri")
    fieldsets = (
        (None, {"fields": ("collection", "document_id", "title", "source_uri", "language", "metadata")}),
        (
            "Processing",
            {"fields": ("status", "error", "progress", "attempts", "chunk_count", "embedding_model", "processed_at")},
        ),
        (
            "Content",
            {"fields": ("content_link", "content_type", "size", "content_hash", "version", "indexed_version")},
        ),
    )
    readonly_fields = (
        "collection",
        "document_id",
        "status",
        "error",
        "progress",
        "attempts",
        "chunk_count",
        "embedding_model",
        "processed_at",
        "content_link",
        "content_type",
        "size",
        "content_hash",
        "version",
        "indexed_version",
    )
    related_lists = (
        ("knowledge.Chunk", "document__id__exact"),
        ("knowledge.DocumentVersion", "document__id__exact"),
    )
    record_actions = (
        RecordAction("retry", lambda request, document: documents.retry_document(document=document)),
        RecordAction(
            "reprocess",
            lambda request, document: documents.reprocess_document(document=document),
            available=lambda document: not document.is_deleted,
        ),
    )

    @admin.display(description="Note")
    def note(self, document: Document) -> str:
        """Return why it failed or what it waits for, shortened, or how far its processing is."""
        if document.error:
            return Truncator(document.error).chars(NOTE_CHARACTERS)
        return self.progress(document) if document.status == DocumentStatus.PROCESSING else "-"

    @admin.display(description="Progress")
    def progress(self, document: Document) -> str:
        """Return how many of the chunks are embedded, of the version that is processed or was last."""
        if not document.expected_chunks:
            return "-"
        return f"{document.embedded_chunks:,} of {document.expected_chunks:,} chunks"

    def send(self, request: HttpRequest, record: Document) -> HttpResponseBase:
        """Answer with the newest version's content."""
        versions = record.versions.select_related("document").defer("draft")
        version = versions.filter(version=record.version).first()
        if version is None:
            raise Http404
        return send(request, version)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: documents are uploaded on their collection's page."""
        return False

    def save_model(self, request: HttpRequest, obj: Document, form: Any, change: bool) -> None:
        """Save what is said of the document; title and language have it processed anew."""
        documents.change_document(document=obj, **{name: form.cleaned_data[name] for name in form.changed_data})


@admin.register(DocumentVersion)
class DocumentVersionAdmin(DownloadMixin, ReadOnlyAdmin):
    """What documents hold."""

    description = "What documents hold: the text that was read, and the file that it was read of."
    list_display = ("__str__", "organization", "content_type", "size", "created_at")
    list_filter = ("organization", "document", "content_type", "size", "created_at")
    list_select_related = ("organization", "document")
    fields = ("document", "version", "content_link", "content_type", "size", "content_hash", "text_shown")
    readonly_fields = ("content_link", "text_shown")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Return the versions without their files."""
        return super().get_queryset(request).defer("original", "draft")

    def send(self, request: HttpRequest, record: DocumentVersion) -> HttpResponseBase:
        """Answer with the version's content."""
        return send(request, record)


@admin.register(Chunk)
class ChunkAdmin(SearchPage, ReadOnlyAdmin):
    """Chunks, to read: they follow from their document."""

    description = "The passages that search finds."
    list_display = ("__str__", "organization", "collection", "position", "token_count", "created_at")
    list_filter = ("organization", "collection", "document", "created_at")
    list_select_related = ("organization", "collection", "document")
    fields = (
        "collection",
        "document",
        "position",
        "heading_path",
        "text",
        "char_start",
        "char_end",
        "token_count",
        "language",
        "lexemes",
    )

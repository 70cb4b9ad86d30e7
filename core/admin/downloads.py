"""What a record holds, on its page: the beginning of a text, and the whole as a download."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from core.api.downloads import PreconditionFailed, RangeNotSatisfiable

SHOWN_CHARACTERS = 10_000


def beginning(text: str) -> str:
    """Return a text's beginning as a page shows it: as plain text."""
    return format_html("<pre>{}{}</pre>", text[:SHOWN_CHARACTERS], "…" if len(text) > SHOWN_CHARACTERS else "")


class DownloadMixin(admin.ModelAdmin):
    """A page of a record whose content can be downloaded: it is shown as plain text, never drawn as a page of ours.

    ``content_link`` and ``text_shown`` are fields of the page. A page's own ``send`` answers with the record's content,
    by ``core.api.downloads.download``, or raises Http404 where it has none.
    """

    send: Callable[[HttpRequest, Any], HttpResponseBase]

    @property
    def download_name(self) -> str:
        """Return the name of the address of the content."""
        return f"{self.opts.app_label}_{self.opts.model_name}_download"

    def get_urls(self) -> list[URLPattern]:
        """Return the kit's addresses, and that of the content."""
        view = self.admin_site.admin_view(self.download_view)
        return [path("<path:object_id>/download/", view, name=self.download_name), *super().get_urls()]

    def download_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Answer the content as an attachment, to whoever may see the record."""
        record = self.get_object(request, object_id)
        if record is None:
            raise Http404
        if not self.has_view_permission(request, record):
            raise PermissionDenied
        try:
            return self.send(request, record)
        except (RangeNotSatisfiable, PreconditionFailed) as error:
            raise Http404(str(error.detail)) from error

    @admin.display(description="Content")
    def content_link(self, record: Any) -> str:
        """Return the link to the content."""
        address = reverse(f"admin:{self.download_name}", args=[record.pk], current_app=self.admin_site.name)
        return format_html('<a href="{}">Download</a>', address)

    @admin.display(description="Text")
    def text_shown(self, record: Any) -> str:
        """Return the beginning of the record's ``text``, where it has one."""
        return "-" if record.text is None else beginning(record.text)

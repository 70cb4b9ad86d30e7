"""The admin kit, and the admin pages of core's records."""

from core.admin import (  # noqa: F401 (they register themselves)
    api_keys,
    audit_events,
    idempotency_keys,
    integrations,
    jobs,
    organizations,
    users,
    webhooks,
)
from core.admin.actions import RecordAction
from core.admin.base import ReadOnlyAdmin, RecordAdmin, RecordInline
from core.admin.downloads import DownloadMixin
from core.admin.filters import DateRangeFilter, RangeFilter, RelatedFilter, WholeTextFilter, WordFilter

__all__ = [
    "DateRangeFilter",
    "DownloadMixin",
    "RangeFilter",
    "ReadOnlyAdmin",
    "RecordAction",
    "RecordAdmin",
    "RecordInline",
    "RelatedFilter",
    "WholeTextFilter",
    "WordFilter",
]

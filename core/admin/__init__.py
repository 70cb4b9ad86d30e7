"""The admin kit, and the admin pages of core's records."""

from core.admin import api_keys, audit_events, jobs, organizations, users  # noqa: F401 (they register themselves)
from core.admin.actions import RecordAction
from core.admin.base import ReadOnlyAdmin, RecordAdmin, RecordInline
from core.admin.filters import DateRangeFilter, RangeFilter, RelatedFilter, WholeTextFilter, WordFilter

__all__ = [
    "DateRangeFilter",
    "RangeFilter",
    "ReadOnlyAdmin",
    "RecordAction",
    "RecordAdmin",
    "RecordInline",
    "RelatedFilter",
    "WholeTextFilter",
    "WordFilter",
]

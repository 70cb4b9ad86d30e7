"""What statistics are asked for, and what they answer."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from agents.models import SpanStatistic, SpanStatus
from agents.services import statistics
from agents.services.workspans import WORK
from core.api.serializers import RecordSerializer

PERIOD = "^[1-9][0-9]{0,3}[hd]$"
DEFAULT_PERIOD = "30d"
UNITS = {"h": statistics.HOUR, "d": statistics.DAY}
LONGEST = timedelta(days=1100)
LONGEST_BY_HOUR = timedelta(days=92)
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class SpanStatisticSerializer(RecordSerializer):
    """How many spans began in an hour or a day, and what they consumed: a row that statistics are summed from."""

    class Meta:
        model = SpanStatistic
        fields = ("id", "kind", "dimension", "value", "width", "start", *statistics.SUMS)
        read_only_fields = fields


@extend_schema_field({"type": "string", "pattern": PERIOD, "default": DEFAULT_PERIOD})
class PeriodField(serializers.Field):
    """The last hours or days, such as ``24h`` or ``30d``, with the one that is under way."""

    def to_internal_value(self, data: Any) -> tuple[int, timedelta]:
        """Return how many of what unit; ValidationError says what a period looks like."""
        text = str(data)
        if not re.fullmatch(PERIOD, text):
            raise serializers.ValidationError("Give a number of hours or days: 24h, 7d, 30d, 90d.", "invalid")
        return int(text[:-1]), UNITS[text[-1]]


@cache
def _zones() -> frozenset[str]:
    """Return the names of time zones: a search of folders, for which once a process is enough."""
    return frozenset(available_timezones())


@extend_schema_field({"type": "string", "default": "UTC", "example": "Europe/Berlin"})
class TimeZoneField(serializers.Field):
    """A time zone, by its name in IANA's database."""

    def to_internal_value(self, data: Any) -> tzinfo:
        """Return the zone; ValidationError says what a name looks like."""
        if data not in _zones():
            raise serializers.ValidationError("Give the name of a time zone, such as Europe/Berlin.", "invalid")
        return UTC if data == "UTC" else ZoneInfo(data)


class StatisticsQuestionSerializer(serializers.Serializer):
    """What statistics are asked for: of what, by what groups, and of when."""

    groups: ClassVar[tuple[str, ...]] = ()

    period = PeriodField(
        required=False,
        help_text="The last hours or days, with the one that is under way: 24h, 7d, 30d, 90d. Default: 30d.",
    )
    time_zone = TimeZoneField(required=False, help_text="Whose midnights part days. Default: UTC.")
    start = serializers.DateTimeField(required=False, help_text="In place of “period”: a whole hour of UTC.")
    end = serializers.DateTimeField(
        required=False, help_text="A whole hour of UTC, not included. Default: the end of the present one."
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields, with the groups that there are, each of which can be asked for by itself too."""
        group_by = _choice(self.groups, "By what to group; all in one, unless given.")
        filters = {name: _filter_field(name) for name in self.groups if name not in statistics.BY_TIME}
        return {"group_by": group_by, **super().get_fields(), **filters}

    def validate_start(self, start: datetime) -> datetime:
        """Refuse what is no whole hour: the sums are of whole hours."""
        return _whole_hour(start)

    def validate_end(self, end: datetime) -> datetime:
        """Refuse what is no whole hour."""
        return _whole_hour(end)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return what is asked, with ``start`` and ``end``, and the ``filters`` by themselves."""
        filters = {name: value for name, value in attrs.items() if name in self.groups}
        for name in [name for name in filters if name in WORK][1:]:
            raise _refused(name, f"Give at most one of {', '.join(WORK)}.", "exclusive")
        if "period" in attrs and {"start", "end"} & set(attrs):
            raise _refused("period", "Give “period”, or “start” and “end”.")
        if "end" in attrs and "start" not in attrs:
            raise _refused("start", "Give “start” along with “end”.")
        count, unit = attrs.get("period") or (30, statistics.DAY)
        zone = attrs.get("time_zone", UTC)
        begin, until = statistics.period(count, unit, now=timezone.now(), zone=zone)
        if "start" in attrs:
            begin, until = (
                attrs["start"],
                attrs.get("end") or statistics.period(1, statistics.HOUR, now=timezone.now())[1],
            )
        if begin >= until:
            raise _refused("start", "“start” must be before “end”.")
        group_by = attrs.get("group_by")
        longest = LONGEST_BY_HOUR if statistics.goes_by_hour(group_by, zone) else LONGEST
        if until - begin > longest:
            raise _refused("period" if "period" in attrs else "start", f"That is more than {longest.days} days.")
        return {"group_by": group_by, "start": begin, "end": until, "filters": filters, "zone": zone}


def question_of(kind: str) -> type[StatisticsQuestionSerializer]:
    """Return the class of questions about a kind of span, which names its groups."""
    name = f"{kind.title().replace('_', '')}StatisticsQuestionSerializer"
    return type(name, (StatisticsQuestionSerializer,), {"groups": statistics.GROUPS[kind]})


def _whole_hour(moment: datetime) -> datetime:
    if not statistics.is_whole_hour(moment):
        raise serializers.ValidationError("Give a whole hour of UTC, such as 2026-03-04T12:00:00Z.", "whole_hour")
    if not EARLIEST <= moment < LATEST:
        raise serializers.ValidationError(f"Give a time from {EARLIEST:%Y} on, and before {LATEST:%Y}.", "range")
    return moment


def _choice(values: Sequence[str], help_text: str) -> serializers.ChoiceField:
    """Return the field of one of these values, whose error names them all."""
    field = serializers.ChoiceField(choices=values, required=False, help_text=help_text)
    field.error_messages["invalid_choice"] = f"Choose among {', '.join(values)}."
    return field


def _filter_field(name: str) -> serializers.Field:
    """Return the field of a value that spans have, named as the groups by it."""
    if name in WORK:
        return serializers.UUIDField(required=False, help_text=f"Only of the {name} with this id.")
    if name == "status":
        return _choice(SpanStatus.values, "Only of this status.")
    return serializers.CharField(required=False, trim_whitespace=False, help_text=f"Only of the {name} of this name.")


def _refused(field: str, message: str, code: str = "range") -> serializers.ValidationError:
    return serializers.ValidationError({field: [ErrorDetail(message, code)]})


class TotalsSerializer(serializers.Serializer):
    """Sums in which each model call counts once."""

    failures = serializers.IntegerField(help_text="Those that failed or timed out.")
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    cost = serializers.DecimalField(max_digits=None, decimal_places=10, help_text="US dollars, exactly.")
    unpriced = serializers.IntegerField(help_text="Calls and executions with usage that counts but of unknown cost.")


class DurationsSerializer(serializers.Serializer):
    """Percentiles in seconds; null where none has ended."""

    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)
    p99 = serializers.FloatField(allow_null=True)


class GroupSerializer(TotalsSerializer):
    """The figures of one group."""

    value = serializers.CharField(allow_null=True, help_text="What the group has in common; null for all in one.")
    name = serializers.CharField(required=False, help_text="What the squad, project or task is called.")
    count = serializers.IntegerField()
    open = serializers.IntegerField(help_text="Those that haven't ended.")
    success_rate = serializers.FloatField(
        allow_null=True, help_text="Of those that ended, the share that neither failed nor timed out."
    )
    duration = DurationsSerializer()


class StatisticsSerializer(serializers.Serializer):
    """Statistics by group."""

    group_by = serializers.CharField(allow_null=True)
    time_zone = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="Not included.")
    filters = serializers.DictField(child=serializers.CharField(), help_text="The values asked for, by name.")
    groups = GroupSerializer(many=True)


class UsageSerializer(TotalsSerializer):
    """What one record consumed in all."""

    executions = serializers.IntegerField()
    model_calls = serializers.IntegerField()
    tool_executions = serializers.IntegerField()

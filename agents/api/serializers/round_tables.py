"""Serializers of round tables, their entries and votes, of judgements, and of the leaderboard."""

from typing import Any

from rest_framework import serializers

from agents.models import Preference, RoundTable, RoundTableEntry, RoundTableVote
from agents.models.roundtables import MAX_ENTRIES, MIN_ENTRIES
from agents.services.round_tables import MAX_VOTES
from core.api.serializers import RECORD_FIELDS, RecordSerializer, StrictSerializer


class RoundTableEntrySerializer(RecordSerializer):
    """A model's answer, and what the judge made of it."""

    class Meta:
        model = RoundTableEntry
        fields: tuple[str, ...] = (
            *RECORD_FIELDS,
            "round_table",
            "provider",
            "model",
            "response",
            "scores",
            "total_score",
            "rank",
            "tokens",
            "cost",
            "latency",
            "error",
        )
        read_only_fields = fields


class NestedEntrySerializer(RecordSerializer):
    """An entry within its round table, without the response, which may be long."""

    class Meta:
        model = RoundTableEntry
        fields = (
            *("id", "provider", "model", "scores", "total_score", "rank"),
            *("tokens", "cost", "latency", "error"),
        )
        read_only_fields = fields


class RoundTableSerializer(RecordSerializer):
    """One prompt that several models answered. Once it is judged, only its metadata and result id change."""

    entries = NestedEntrySerializer(many=True, read_only=True)

    class Meta:
        model = RoundTable
        fields: tuple[str, ...] = (
            *RECORD_FIELDS,
            "result_id",
            "prompt",
            "task_category",
            "status",
            "judge",
            "criteria",
            "winner",
            "consensus",
            "entry_count",
            "vote_count",
            "total_cost",
            "duration",
            "metadata",
            "judged_at",
            "entries",
        )
        read_only_fields = (*("status", "winner", "consensus", "entry_count", "vote_count", "total_cost", "judged_at"),)


class NewEntrySerializer(RecordSerializer):
    """A model's answer, or the error that it came to."""

    class Meta:
        model = RoundTableEntry
        fields = ("provider", "model", "response", "tokens", "cost", "latency", "error")


class NewRoundTableSerializer(RoundTableSerializer):
    """A round table with its entries."""

    entries = NewEntrySerializer(many=True, min_length=MIN_ENTRIES, max_length=MAX_ENTRIES)  # type: ignore[assignment]


class VerdictSerializer(StrictSerializer):
    """What the judge says of one entry."""

    entry = serializers.UUIDField()
    scores = serializers.JSONField(
        required=False, help_text='By all criteria of the round table: {"accuracy": 9, "style": 7}.'
    )
    rank = serializers.IntegerField(
        required=False, min_value=1, max_value=1_000_000, help_text="1 is the best; equal ranks are ties."
    )


class VoteSerializer(StrictSerializer):
    """What a judge says of two entries, shown in this order."""

    first = serializers.UUIDField()
    second = serializers.UUIDField()
    preferred = serializers.ChoiceField(choices=Preference.choices)
    judge = serializers.CharField(required=False, max_length=200, help_text="Default: the round table's judge.")


class JudgementSerializer(StrictSerializer):
    """A judgement: scores by criterion, ranks, or votes on pairs. All entries that didn't fail are judged."""

    judge = serializers.CharField(required=False, max_length=200, help_text="Default: the one named before.")
    entries = VerdictSerializer(many=True, required=False, max_length=MAX_ENTRIES)  # type: ignore[call-arg]
    votes = VoteSerializer(  # type: ignore[call-arg]
        many=True,
        required=False,
        max_length=MAX_VOTES,
        help_text="On all pairs, each in both orders. Orders that disagree make the pair a tie.",
    )
    winner = serializers.UUIDField(
        required=False, allow_null=True, help_text="Which entry of rank 1 wins, where several share it."
    )


class CancelRoundTableSerializer(StrictSerializer):
    """Why a round table is called off."""

    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class RoundTableVoteSerializer(RecordSerializer):
    """What a judge said of two entries, shown in this order."""

    class Meta:
        model = RoundTableVote
        fields = ("id", "created_at", "round_table", "judge", "first", "second", "preferred")
        read_only_fields = fields


class LeaderboardQuestionSerializer(serializers.Serializer):
    """Which round tables the leaderboard is of."""

    category = serializers.CharField(required=False, max_length=100, help_text="Their task category.")

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields, with the one whose name Python keeps for itself."""
        return super().get_fields() | {
            "from": serializers.DateTimeField(required=False, help_text="Judged at this time or later."),
            "to": serializers.DateTimeField(required=False, help_text="Judged before this time."),
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a period that ends before it begins."""
        if "from" in attrs and "to" in attrs and attrs["from"] >= attrs["to"]:
            raise serializers.ValidationError({"from": "“from” must be before “to”."}, "range")
        return attrs


class StandingSerializer(serializers.Serializer):
    """How one model stands. Without a comparison it has no rank, strength, interval and win rate."""

    provider = serializers.CharField()
    model = serializers.CharField()
    rank = serializers.IntegerField(allow_null=True)
    strength = serializers.FloatField(
        allow_null=True, help_text="Bradley-Terry, as a natural logarithm; the mean of all models is 0."
    )
    low = serializers.FloatField(
        allow_null=True, help_text="The 95 % interval's lower bound; null by one round table only."
    )
    high = serializers.FloatField(allow_null=True, help_text="The 95 % interval's upper bound.")
    win_rate = serializers.FloatField(allow_null=True, help_text="Comparisons won, 0 to 1; a tie is half a win.")
    comparisons = serializers.IntegerField()
    answers = serializers.IntegerField(help_text="Entries that were ranked.")
    failures = serializers.IntegerField(help_text="Entries that failed; they are compared with none.")
    mean_cost = serializers.DecimalField(
        max_digits=16,
        decimal_places=8,
        allow_null=True,
        help_text="US dollars an answer, of those whose cost is known.",
    )
    mean_latency = serializers.FloatField(allow_null=True, help_text="Seconds an answer.")


class LeaderboardSerializer(serializers.Serializer):
    """The models by their strength, and what they were judged by."""

    category = serializers.CharField(allow_null=True)
    round_tables = serializers.IntegerField(help_text="How many round tables were counted.")
    more_round_tables = serializers.BooleanField(help_text="Whether older ones were left out.")
    more_models = serializers.IntegerField(help_text="How many models with fewer answers were left out.")
    standings = StandingSerializer(many=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields, with the one whose name Python keeps for itself."""
        period = {name: serializers.DateTimeField(allow_null=True) for name in ("from", "to")}
        fields = super().get_fields()
        return {"category": fields.pop("category"), **period, **fields}

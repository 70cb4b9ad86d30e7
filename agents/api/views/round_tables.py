"""Endpoints of round tables, their entries and votes, and of the leaderboard."""

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.filters import round_tables as filters
from agents.api.serializers import round_tables as serializers
from agents.models import RoundTable, RoundTableEntry, RoundTableVote
from agents.services import round_tables
from agents.services.leaderboard import leaderboard
from core.api import bulk
from core.api.viewsets import FullViewSet, ReadOnlyViewSet, RecordViewSet


class RoundTableViewSet(FullViewSet):
    """Prompts that several models answered. One that was judged is cancelled, not deleted."""

    scope = "agents"
    queryset = RoundTable.objects.all()
    serializer_class = serializers.RoundTableSerializer
    read_serializer_class = serializers.RoundTableSerializer
    filterset_class = filters.RoundTableFilterSet

    def get_serializer_class(self) -> Any:
        """Return what the action takes."""
        return serializers.NewRoundTableSerializer if self.action == "create" else self.serializer_class

    def perform_create(self, serializer: Any) -> RoundTable:
        """Make the round table with its entries."""
        return round_tables.create_round_table(
            organization_id=self.principal.organization_id, **serializer.validated_data
        )

    def perform_destroy(self, instance: Any) -> None:
        """Delete the round table, if it was never judged."""
        round_tables.delete_round_table(round_table=instance)

    def perform_bulk_destroy(self, instances: Sequence[Any]) -> None:
        """Delete the round tables; the database refuses those that were judged, too."""
        bulk.remove(instances, self.delete_rows, self.perform_destroy)

    @extend_schema(request=serializers.JudgementSerializer)
    @action(detail=True, methods=["post"])
    def judge(self, request: Request, pk: Any) -> Response:
        """Judge the round table, once: by scores, by ranks, or by votes on pairs, from which the ranks follow.

        Ranks that are given stand, whatever the scores say. The winner is the entry of rank 1; where several share
        it there is none, unless “winner” names one of them.
        """
        body = self._parse(serializers.JudgementSerializer)
        verdicts = [
            round_tables.Verdict(each["entry"], each.get("scores"), each.get("rank"))
            for each in body.get("entries", ())
        ]
        votes = [
            round_tables.Vote(each["first"], each["second"], each["preferred"], each.get("judge", ""))
            for each in body.get("votes", ())
        ]
        return self.act(
            pk,
            lambda round_table: round_tables.judge_round_table(
                round_table=round_table,
                judge=body.get("judge", ""),
                verdicts=verdicts,
                votes=votes,
                winner_id=body.get("winner"),
            ),
        )

    @extend_schema(request=serializers.CancelRoundTableSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: Any) -> Response:
        """Call the round table off. It stays for the record, and counts on no leaderboard."""
        body = self._parse(serializers.CancelRoundTableSerializer)
        return self.act(pk, lambda round_table: round_tables.cancel_round_table(round_table=round_table, **body))

    def _parse(self, serializer_class: Any) -> dict[str, Any]:
        body = serializer_class(data=self.request.data)
        body.is_valid(raise_exception=True)
        return body.validated_data


class RoundTableEntryViewSet(ReadOnlyViewSet):
    """Answers of models. They are made with their round table, and judged with it."""

    scope = "agents"
    queryset = RoundTableEntry.objects.all()
    serializer_class = serializers.RoundTableEntrySerializer
    filterset_class = filters.RoundTableEntryFilterSet


class RoundTableVoteViewSet(ReadOnlyViewSet):
    """Votes on pairs of answers. They come with a judgement, and stand."""

    scope = "agents"
    queryset = RoundTableVote.objects.all()
    serializer_class = serializers.RoundTableVoteSerializer
    filterset_class = filters.RoundTableVoteFilterSet


class LeaderboardViewSet(RecordViewSet):
    """How models stand by the round tables."""

    scope = "agents"
    queryset = RoundTable.objects.all()
    serializer_class = serializers.RoundTableSerializer
    pagination_class = None  # type: ignore[assignment]

    @extend_schema(
        operation_id="leaderboard",
        parameters=[serializers.LeaderboardQuestionSerializer],
        responses=serializers.LeaderboardSerializer,
        filters=False,
    )
    def leaderboard(self, request: Request) -> Response:
        """Rank the models by Bradley-Terry strength, with bootstrap 95 % intervals.

        Each two ranked entries of a round table are a comparison; ties are half a win each. Of the newest 5,000
        round tables that match, and the 50 models with the most entries in them; the answer tells what was left out.
        """
        asked = serializers.LeaderboardQuestionSerializer(data=request.query_params)
        if unknown := set(request.query_params) - set(asked.fields) - {"format"}:
            raise ValidationError(dict.fromkeys(sorted(unknown), "There is no such parameter."), "unknown")
        asked.is_valid(raise_exception=True)
        category, start, end = (asked.validated_data.get(name) for name in ("category", "from", "to"))
        board = leaderboard(organization_id=self.principal.organization_id, category=category, start=start, end=end)
        return Response(
            serializers.LeaderboardSerializer({"category": category, "from": start, "to": end, **vars(board)}).data
        )

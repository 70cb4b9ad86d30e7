"""Endpoints of traces: the list, one, and its spans in pages."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import orjson
from django.db.models import QuerySet
from django.http import Http404
from django.urls import register_converter
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.filters.traces import TraceFilterSet
from agents.api.serializers import traces as serializers
from agents.models import Trace
from agents.services import traces
from core.api.renderers import RenderedJSON
from core.api.viewsets import ReadOnlyViewSet


class TraceIdConverter:
    """A trace's own id, 32 hexadecimal digits; or the record's, a UUID with dashes."""

    regex = "[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

    def to_python(self, value: str) -> str:
        """Return the text."""
        return value

    def to_url(self, value: Any) -> str:
        """Return the text."""
        return str(value)


register_converter(TraceIdConverter, "trace")
PATH_PARAMETER = OpenApiParameter(
    "id",
    OpenApiTypes.STR,
    OpenApiParameter.PATH,
    description="The trace id, 32 hexadecimal digits; or the record's id.",
)


@extend_schema_view(retrieve=extend_schema(parameters=[PATH_PARAMETER]))
class TraceViewSet(ReadOnlyViewSet):
    """Traces, newest first. They come with their spans, and go with them."""

    scope = "agents"
    queryset = Trace.objects.all()
    serializer_class = serializers.TraceSerializer
    filterset_class = TraceFilterSet
    ordering = ("-started_at",)
    ordering_fields = ("started_at", "cost", "duration")
    lookup_value_converter = "trace"

    def retrieve(self, request: Request, pk: str) -> Response:
        """Answer one trace: its summary."""
        rows = self._rows(pk)
        text = self.read_one(rows, self.get_read_serializer())
        if text is None:
            raise Http404
        return Response(RenderedJSON(text.encode()))

    @extend_schema(
        parameters=[PATH_PARAMETER, serializers.SpansQuestionSerializer],
        responses=serializers.TraceSpansSerializer,
        filters=False,
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def spans(self, request: Request, pk: str) -> Response:
        """Answer the trace's spans as a tree: depth-first, by start, each with its depth, in pages.

        A span whose parent never came is a root. Of spans that are each other's parents the earliest is one.
        """
        asked = self._question(request)
        trace = self._rows(pk).first()
        if trace is None:
            raise Http404
        tree = traces.tree_of(trace)
        places = self._places(tree, asked)
        first = 0
        if "cursor" in asked:
            begin = tree.place_of(str(asked["cursor"]))
            if begin is None or begin not in places:
                raise ValidationError({"cursor": "There is no such span here; take it from “next” or “previous”."})
            first = places.index(begin)
        limit = asked["limit"]
        page = places[first : first + limit]

        def address(place: int | None) -> str | None:
            query = [(name, value) for name, value in request.query_params.items() if name != "cursor"]
            query += [] if place is None else [("cursor", tree.ids[place])]
            return f"{request.build_absolute_uri(request.path)}{'?' if query else ''}{urlencode(query)}"

        following = address(places[first + limit]) if first + limit < len(places) else None
        previous = address(places[first - limit] if first > limit else None) if first else None
        return Response(
            RenderedJSON(
                b'{"next":%b,"previous":%b,"results":[%b]}'
                % (orjson.dumps(following), orjson.dumps(previous), ",".join(traces.as_json(tree, page)).encode())
            )
        )

    def _rows(self, pk: str) -> QuerySet:
        key = traces.key_of(pk)
        if key is None:
            raise Http404
        return self.get_queryset().filter(**key).order_by()

    def _question(self, request: Request) -> dict[str, Any]:
        question = serializers.SpansQuestionSerializer(data=request.query_params)
        if unknown := set(request.query_params) - set(question.fields) - {"format"}:
            raise ValidationError(dict.fromkeys(sorted(unknown), "There is no such parameter."), "unknown")
        question.is_valid(raise_exception=True)
        return question.validated_data

    def _places(self, tree: traces.Tree, asked: dict[str, Any]) -> Sequence[int]:
        places: Sequence[int] = range(len(tree))
        if "under" in asked:
            root = tree.place_of_span(asked["under"].lower())
            if root is None:
                raise ValidationError({"under": "There is no such span in this trace."}, "does_not_exist")
            places = tree.subtree(root)
        if "max_depth" in asked:
            places = [place for place in places if tree.depths[place] <= asked["max_depth"]]
        return places

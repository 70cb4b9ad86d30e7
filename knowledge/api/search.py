"""The endpoint of search: what it is asked, and what it answers."""

import logging
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.serializers import OrganizationRelatedField
from core.api.viewsets import RecordViewSet
from core.models import Role
from knowledge.api.serializers import ChunkSerializer
from knowledge.embedders import EmbedderUnavailable, EmbeddingError
from knowledge.models import Chunk, Collection
from knowledge.services.search import MOST_CHARACTERS, MOST_HITS, MOST_NEIGHBOURS, Mode, Question, search

logger = logging.getLogger(__name__)

MOST_COLLECTIONS = 100


class NoEmbedder(APIException):
    """503: the question can't be embedded now."""

    status_code = 503
    default_code = "embedder_unavailable"
    default_detail = "The question can't be embedded now. Try again in a moment, or search with the mode “text”."
    extra_headers = {"Retry-After": "10"}


class CollectionsField(serializers.ListField):
    """The ids of some collections of the organization: one at least."""

    child: Any

    def __init__(self, **options: Any) -> None:
        child = OrganizationRelatedField(queryset=Collection.objects.all())
        super().__init__(child=child, allow_empty=False, max_length=MOST_COLLECTIONS, **options)

    def run_child_validation(self, data: list[Any]) -> list[Any]:
        """Return the collections, which are looked up at once; a list that is too long is refused for that, unread."""
        if len(data) > MOST_COLLECTIONS:
            return data
        self.child.look_up(data)
        found: list[Any] = super().run_child_validation(data)
        return found


class QuestionSerializer(serializers.Serializer):
    """What is searched for, and where."""

    query = serializers.CharField(max_length=MOST_CHARACTERS, help_text="A question, or some words.")
    collections = CollectionsField(
        required=False, help_text="Where to search. Default: in all of the organization's collections."
    )
    metadata = serializers.DictField(
        required=False,
        help_text='What a document\'s metadata must contain: {"team": "legal"} finds {"team": "legal", "year": 2026}.',
    )
    created_after = serializers.DateTimeField(required=False, help_text="Documents made at this time or later.")
    created_before = serializers.DateTimeField(required=False, help_text="Documents made before this time.")
    mode = serializers.ChoiceField(
        choices=Mode.choices,
        default=Mode.HYBRID,
        help_text="“vector” searches by meaning, “text” by words (BM25), “hybrid” by both.",
    )
    limit = serializers.IntegerField(default=10, min_value=1, max_value=MOST_HITS, help_text="The most hits.")
    neighbours = serializers.IntegerField(
        default=0,
        min_value=0,
        max_value=MOST_NEIGHBOURS,
        help_text="How many chunks before and after each hit to answer with it.",
    )

    def to_internal_value(self, data: Any) -> Any:
        """Parse the body, and refuse fields that it doesn't take."""
        if isinstance(data, dict) and (unknown := set(data) - set(self.fields)):
            raise ValidationError({name: ErrorDetail("There is no such field.", "unknown") for name in sorted(unknown)})
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a period that ends before it begins."""
        if "created_after" in attrs and "created_before" in attrs and attrs["created_after"] >= attrs["created_before"]:
            raise ValidationError({"created_after": "“created_after” must be before “created_before”."}, "range")
        return attrs

    def question(self) -> Question:
        """Return what is asked, once it is valid."""
        asked = dict(self.validated_data)
        return Question(
            text=asked.pop("query"),
            collections=[collection.pk for collection in asked.pop("collections", [])],
            mode=Mode(asked.pop("mode")),
            **asked,
        )


class NeighbourSerializer(serializers.Serializer):
    """A chunk before or after a hit, in the same document."""

    id = serializers.UUIDField()
    position = serializers.IntegerField()
    text = serializers.CharField()


class FoundDocumentSerializer(serializers.Serializer):
    """The document that a hit stands in."""

    id = serializers.UUIDField(source="document")
    document_id = serializers.CharField(help_text="The caller's name of it.")
    title = serializers.CharField()
    source_uri = serializers.CharField()
    version = serializers.IntegerField()
    metadata = serializers.DictField()
    created_at = serializers.DateTimeField()


class HitSerializer(serializers.Serializer):
    """A chunk that was found, the best first."""

    chunk = serializers.UUIDField()
    score = serializers.FloatField(
        help_text="What the hits are ordered by: 0 to 1 by both sides; the cosine by “vector”, BM25's score by “text”."
    )
    vector_score = serializers.FloatField(allow_null=True, help_text="The cosine; null where vectors weren't asked.")
    vector_rank = serializers.IntegerField(allow_null=True, help_text="By meaning, among the candidates, from 1.")
    text_score = serializers.FloatField(help_text="BM25's; 0 where no word matches.")
    text_rank = serializers.IntegerField(allow_null=True, help_text="By words, among the candidates, from 1.")
    text = serializers.CharField()
    marked = serializers.CharField(help_text="The text as HTML, escaped, with matched words in <mark>.")
    heading_path = serializers.ListField(child=serializers.CharField())
    position = serializers.IntegerField(help_text="Which chunk of the document, from 0.")
    char_start = serializers.IntegerField()
    char_end = serializers.IntegerField()
    citation = serializers.CharField(help_text="Where it stands, for people.")
    collection = serializers.UUIDField()
    document = FoundDocumentSerializer(source="*")
    neighbours = NeighbourSerializer(many=True)


class AnswerSerializer(serializers.Serializer):
    """What was found."""

    mode = serializers.ChoiceField(choices=Mode.choices)
    results = HitSerializer(many=True)


class SearchViewSet(RecordViewSet):
    """Search in the organization's documents."""

    scope = "knowledge"
    action_scopes = {"search": "knowledge:read"}
    action_roles = {"search": Role.VIEWER}
    unguarded_actions = ("search",)  # it writes nothing, and may ask an embedder's server
    queryset = Chunk.objects.all()
    serializer_class = ChunkSerializer
    pagination_class = None  # type: ignore[assignment]

    @extend_schema(
        operation_id="search",
        request=QuestionSerializer,
        responses={
            200: AnswerSerializer,
            (503, "application/problem+json"): OpenApiResponse(
                {"$ref": "#/components/schemas/Problem"},
                "The database or the embedder is out of reach; try again after Retry-After seconds.",
            ),
        },
    )
    def search(self, request: Request) -> Response:
        """Find the chunks that answer a question, by meaning and by words.

        Filters come before ranking: the hits are the best of what passes them.
        """
        asked = QuestionSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        question = asked.question()
        try:
            hits = search(organization_id=self.principal.organization_id, question=question)
        except EmbedderUnavailable as error:
            logger.warning("A search failed: %s", error)
            raise NoEmbedder from error
        except EmbeddingError as error:
            logger.error("A search failed: %s", error)  # noqa: TRY400 (the message says it all)
            raise NoEmbedder("The question can't be embedded here; search with the mode “text”.") from error
        return Response(AnswerSerializer({"mode": question.mode.value, "results": hits}).data)

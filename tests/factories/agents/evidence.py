"""Factories of metrics, artifacts, feedback and insights."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import factory
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from factory.django import DjangoModelFactory

from agents.models import Artifact, Feedback, LearningInsight, MetricSnapshot, StoredContent
from agents.models.artifacts import content_name
from core.ids import uuid7
from tests.factories.agents.work import TaskRunFactory
from tests.factories.core import OrganizationFactory


def digest(content: bytes) -> str:
    """Return the SHA-256 digest of ``content`` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


class MetricSnapshotFactory(DjangoModelFactory):
    """A value of no task."""

    class Meta:
        model = MetricSnapshot

    organization = factory.SubFactory(OrganizationFactory)
    name = "latency"
    value = 1.5
    unit = "s"
    labels = factory.LazyFunction(dict)
    timestamp = factory.LazyFunction(lambda: datetime.now(tz=UTC))


class StoredContentFactory(DjangoModelFactory):
    """A content and its file; ``content`` gives the bytes."""

    class Meta:
        model = StoredContent

    class Params:
        content = factory.Sequence(lambda n: b"content %d" % n)

    id = factory.LazyFunction(uuid7)
    organization = factory.SubFactory(OrganizationFactory)
    sha256 = factory.LazyAttribute(lambda stored: digest(stored.content))
    size = factory.LazyAttribute(lambda stored: len(stored.content))
    location = factory.LazyAttribute(
        lambda stored: default_storage.save(
            content_name(stored.organization.pk, stored.id), ContentFile(stored.content)
        )
    )


class ArtifactFactory(DjangoModelFactory):
    """An artifact with an inline text, of no task. ``text=None, stored=…`` makes one with content in storage."""

    class Meta:
        model = Artifact

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda n: f"artifact-{n}.txt")
    text = factory.Sequence(lambda n: f"Text {n}")
    content_type = "text/plain"

    @factory.lazy_attribute
    def size(self) -> int:
        return self.stored.size if getattr(self, "stored", None) else len(self.text.encode())

    @factory.lazy_attribute
    def sha256(self) -> str:
        return self.stored.sha256 if getattr(self, "stored", None) else digest(self.text.encode())


class FeedbackFactory(DjangoModelFactory):
    """Praise for a new run."""

    class Meta:
        model = Feedback

    organization = factory.SubFactory(OrganizationFactory)
    task_run = factory.SubFactory(TaskRunFactory, organization=factory.SelfAttribute("..organization"))
    rating = 5
    comment = "Well done."


class LearningInsightFactory(DjangoModelFactory):
    """A draft that comes from nowhere in particular."""

    class Meta:
        model = LearningInsight

    organization = factory.SubFactory(OrganizationFactory)
    insight = factory.Sequence(lambda n: f"Insight {n}")


def insight_in(status: str, **fields: Any) -> LearningInsight:
    """Make an insight, and lead it to ``status``."""
    made: LearningInsight = LearningInsightFactory(**fields)
    for move in {"draft": (), "accepted": ("accept",), "retired": ("accept", "retire")}[status]:
        LearningInsight.lifecycle.move(made, move)
    return made

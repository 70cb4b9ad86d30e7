"""Templates: files to begin a project with, some words of which are variables."""

from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast

from core.constraints import given, json_object, one_of
from core.models import Audited, Organization, Record, RecordQuerySet
from core.triggers import Immutable


class Complexity(models.TextChoices):
    """How much a template sets up."""

    SIMPLE = "simple", "Simple"
    MODERATE = "moderate", "Moderate"
    COMPLEX = "complex", "Complex"


class TemplateQuerySet(RecordQuerySet):
    """Reads of templates."""

    def for_organization(self, organization: Any) -> Self:
        """Return the organization's own templates, and those that are shared with all."""
        return self.filter(Q(organization=organization) | Q(organization=None))

    def own(self, organization: Any) -> Self:
        """Return only the organization's own templates: those that it may change."""
        return self.filter(organization=organization)


class AllTexts(models.Func):
    """Tells whether each value of a JSON object is a text."""

    template = """NOT jsonb_path_exists(%(expressions)s, '$.* ? (@.type() != "string")')"""
    output_field = models.BooleanField()


class HasAnyKey(models.Func):
    """Tells whether a JSON object has one of the words of a list as a key."""

    template = "%(expressions)s"
    arg_joiner = " ?| "
    output_field = models.BooleanField()


class Template(Audited, Record):
    """Files by path, in which variables are filled in. Without an organization it is shared with all."""

    audit_ignore = ("usage_count",)

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    version = models.CharField(max_length=50, default="1.0.0")
    files = models.JSONField(default=dict, help_text="Path to content; both may hold {{ variables }}.")
    required_variables = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    optional_variables = models.JSONField(default=dict, blank=True, help_text="Variable to its default.")
    tech_stack = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    complexity = models.CharField(max_length=20, choices=Complexity, default=Complexity.SIMPLE)
    setup_minutes = models.PositiveIntegerField(default=0, help_text="How long setting up takes, in minutes.")
    usage_count = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar = TemplateQuerySet.as_manager()

    class Meta(Record.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name", "version"],
                nulls_distinct=False,
                name="agents_template_version_unique",
                violation_error_message="“version” of this template stands already.",
            ),
            given("name", name="agents_template_name_given"),
            given("version", name="agents_template_version_given"),
            one_of("complexity", Complexity, name="agents_template_complexity"),
            json_object("files", name="agents_template_files_object"),
            models.CheckConstraint(
                name="agents_template_files_texts",
                condition=AllTexts("files"),
                violation_error_message="“files” must lead from paths to texts.",
            ),
            models.CheckConstraint(
                name="agents_template_files_given",
                condition=~Q(files={}),
                violation_error_message="“files” can't be empty.",
            ),
            json_object("optional_variables", name="agents_template_optional_object"),
            models.CheckConstraint(
                name="agents_template_variables_apart",
                condition=~Q(
                    HasAnyKey("optional_variables", Cast("required_variables", ArrayField(models.TextField())))
                ),
                violation_error_message="A variable is either required or has a default.",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "created_at", "id"], name="agents_template_newest"),
            GinIndex(fields=["tags"], name="agents_template_tags"),
            GinIndex(fields=["tech_stack"], name="agents_template_tech_stack"),
            GinIndex(
                fields=["name", "description"],
                opclasses=["gin_trgm_ops", "gin_trgm_ops"],
                name="agents_template_search",
            ),
        ]
        triggers = [Immutable("organization_id", name="organization")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

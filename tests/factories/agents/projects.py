"""Factories of projects, their contexts and modifications."""

from typing import Any

import factory
from factory.django import DjangoModelFactory

from agents.models import Modification, Project, ProjectContext
from tests.factories.core import OrganizationFactory, UserFactory


class ProjectFactory(DjangoModelFactory):
    """A project that is being planned, without a squad or contexts."""

    class Meta:
        model = Project

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda n: f"Project {n}")


class ProjectContextFactory(DjangoModelFactory):
    """The next context of a project, a new one unless given."""

    class Meta:
        model = ProjectContext

    organization = factory.SubFactory(OrganizationFactory)
    project = factory.SubFactory(ProjectFactory, organization=factory.SelfAttribute("..organization"))
    codebase = factory.LazyFunction(lambda: {"files": 12, "languages": {"python": 0.9, "css": 0.1}})
    configuration = factory.LazyFunction(lambda: {"debug": False})
    dependencies = factory.LazyFunction(lambda: {"django": "5.2.8"})
    test_coverage = "81.50"


class ModificationFactory(DjangoModelFactory):
    """A pending modification of a new context, asked for by a member. Reviewed ones are made by the services."""

    class Meta:
        model = Modification

    organization = factory.SubFactory(OrganizationFactory)
    context = factory.SubFactory(ProjectContextFactory, organization=factory.SelfAttribute("..organization"))
    title = factory.Sequence(lambda n: f"Modification {n}")
    request = "Cache the product list for a minute."
    affected_files = factory.LazyFunction(lambda: ["catalog/views.py"])

    @factory.lazy_attribute
    def requested_by(self) -> Any:
        return UserFactory(memberships__organization=self.organization)

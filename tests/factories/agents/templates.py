"""Factories of templates."""

import factory
from factory.django import DjangoModelFactory

from agents.models import Template
from tests.factories.core import OrganizationFactory


class TemplateFactory(DjangoModelFactory):
    """A template of two files with a required and an optional variable. ``organization=None`` shares it with all."""

    class Meta:
        model = Template

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda n: f"Template {n}")
    files = factory.LazyFunction(
        lambda: {
            "README.md": "# {{ project_name|title }}\n",
            "{{ project_name|snake_case }}/settings.toml": 'license = "{{ license }}"\n',
        }
    )
    required_variables = factory.LazyFunction(lambda: ["project_name"])
    optional_variables = factory.LazyFunction(lambda: {"license": "MIT"})
    tags = factory.LazyFunction(lambda: ["python"])

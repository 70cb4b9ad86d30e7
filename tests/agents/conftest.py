"""What tests of agents share."""

from pathlib import Path
from typing import Any

import pytest

from agents.models import Agent, Squad
from core.models import Organization
from tests.agents.counting import Counted, many_spans
from tests.kit.spans import stored


@pytest.fixture
def media(settings: Any, tmp_path: Path) -> Path:
    """The folder of files in storage, empty, of this test alone."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT  # type: ignore[no-any-return]


@pytest.fixture
def agent(organization: Organization) -> Agent:
    return Agent.objects.create(organization=organization, name="Ada")


@pytest.fixture
def squad(organization: Organization) -> Squad:
    return Squad.objects.create(organization=organization, name="Core")


@pytest.fixture
def counted(organization: Organization, other_organization: Organization) -> Counted:
    """Many spans of ours, and as many of the other organization's, which must not be seen."""
    stored(other_organization, many_spans(seed=5))
    return Counted(stored(organization, many_spans()))

"""What tests of agents share."""

from pathlib import Path
from typing import Any

import pytest

from agents.models import Agent, Squad
from core.models import Organization


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

"""The documentation says what the program says."""

from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from config.env import rendering
from core import diagram
from core.models import Scope

DOCS = Path(settings.BASE_DIR, "docs")
README = Path(settings.BASE_DIR, "README.md")
PAGES = [README, *sorted(DOCS.glob("*.md"))]


def test_operators_have_the_table_of_every_variable() -> None:
    assert rendering.as_markdown().strip() in (DOCS / "operators.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_a_page_names_exist(page: Path) -> None:
    words = page.read_text().replace("`", " ").split()
    named = {words[i + 1].strip(".,;:") for i, word in enumerate(words[:-1]) if word == "manage.py"}
    assert named <= {*get_commands(), "check"}, named - set(get_commands())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    targets = [part.partition(")")[0] for part in page.read_text().split("](")[1:]]
    for target in targets:
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert target.startswith("http") or path.exists(), target
        if anchor and path.suffix == ".md":
            headings = [line.lstrip("# ").lower().replace(" ", "-") for line in path.read_text().splitlines()]
            assert anchor in headings, target


def test_the_page_of_entities_is_what_the_models_say() -> None:
    assert (DOCS / "entities.md").read_text() == diagram.document(), "uv run manage.py diagram > docs/entities.md"


def test_api_page_names_every_scope() -> None:
    text = (DOCS / "api.md").read_text()
    assert [scope for scope in Scope.values if f"`{scope}`" not in text] == []

"""Staff try a search in a browser."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from core.models import Organization
from tests.browser.test_admin import acme, log_in  # noqa: F401 (fixture)
from tests.factories.knowledge import CollectionFactory
from tests.knowledge.library import embed, shelve

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]


def test_a_question_is_answered(page: Page, live_server: LiveServer, acme: Organization, tmp_path: Path) -> None:  # noqa: F811
    manuals = CollectionFactory(organization=acme, name="Manuals")
    shelve(
        manuals,
        "Close the inlet before you open the housing.",
        "Open the valve slowly, a quarter turn at a time, and listen for water hammer.",
        "Log the pressure afterwards.",
        title="Valve maintenance",
        document_id="manuals/valves.md",
        source_uri="https://example.org/manuals/valves",
    )
    shelve(manuals, "The pump starts by itself when the level falls.", title="Pumps", document_id="manuals/pumps.md")
    embed(manuals)
    log_in(page, live_server)
    page.goto(f"{live_server.url}/admin/knowledge/chunk/")
    page.get_by_role("link", name="Search playground").click()
    page.get_by_label("Question").fill("how do I turn a valve on?")
    page.get_by_label("Neighbours").fill("1")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("heading", name="Valve maintenance, passage 2")).to_be_visible()
    expect(page.locator("mark", has_text="valve").first).to_be_visible()
    page.screenshot(path=Path(os.environ.get("SCREENSHOTS", tmp_path)) / "search.png", full_page=True)

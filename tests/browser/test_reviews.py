"""A modification is reviewed in the browser."""

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from core.models import Organization
from tests.browser.test_admin import acme, log_in, picture  # noqa: F401 (acme is a fixture)
from tests.factories.agents import ModificationFactory, ProjectContextFactory, ProjectFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]


def test_a_modification_is_reviewed(page: Page, live_server: LiveServer, acme: Organization) -> None:  # noqa: F811
    project = ProjectFactory(organization=acme, name="Shop")
    ProjectContextFactory(organization=acme, project=project, test_coverage="78", dependencies={"django": "5.1.4"})
    context = ProjectContextFactory(organization=acme, project=project, dependencies={"django": "5.2.8", "orjson": "3"})
    modification = ModificationFactory(
        organization=acme,
        context=context,
        title="Cache the product list",
        request="Keep the list for a minute.\n\nNobody notices, and the database rests.",
        impact_analysis={"latency": "-40 ms", "risks": ["stale prices for a minute"]},
        affected_files=["catalog/views.py", "config/settings.py"],
    )
    log_in(page, live_server)
    page.goto(f"{live_server.url}/admin/agents/modification/{modification.pk}/change/")
    page.get_by_role("link", name="Review…").click()
    expect(page.get_by_text("stale prices for a minute")).to_be_visible()
    picture(page, "review")
    page.get_by_label("Comment").fill("Agreed: a minute is fine.")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("“Cache the product list” is approved.")).to_be_visible()
    modification.refresh_from_db()
    assert (modification.status, modification.review_comment) == ("approved", "Agreed: a minute is fine.")

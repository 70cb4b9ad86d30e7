"""A walk through the admin with a browser, as staff take it."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from core.models import APIKey, Membership, Organization, Role
from tests.factories.core import APIKeyFactory, MembershipFactory, OrganizationFactory, UserFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]

PASSWORD = "correct horse battery"


@pytest.fixture
def acme(transactional_db: None) -> Organization:
    """An organization with a superuser, members and keys."""
    root = UserFactory(email="root@acme.example", name="Root", is_staff=True, is_superuser=True, password=PASSWORD)
    acme = OrganizationFactory(name="Acme", slug="acme", settings={"theme": {"dark": True}, "limits": [1, 2, 3]})
    MembershipFactory(organization=acme, user=root, role=Role.OWNER)
    for number in range(12):
        membership = MembershipFactory(organization=acme, user=UserFactory(email=f"person{number}@acme.example"))
        APIKeyFactory(organization=acme, user=membership.user, name=f"Robot {number}")
    other = OrganizationFactory(name="Globex", slug="globex")
    MembershipFactory(organization=other, user=UserFactory(email="person99@globex.example"))
    return acme


def log_in(page: Page, live_server: LiveServer) -> None:
    page.goto(f"{live_server.url}/admin/")
    page.get_by_label("Email").fill("root@acme.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Records")).to_be_visible()


def picture(page: Page, name: str) -> None:
    """Keep a picture of the page where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_from_login_to_history(page: Page, live_server: LiveServer, acme: Organization) -> None:
    picture_login(page, live_server)
    log_in(page, live_server)
    picture(page, "index")
    page.get_by_role("link", name="Organizations", exact=True).first.click()
    picture(page, "list")
    page.get_by_role("link", name="Acme").click()
    expect(page.get_by_label("Settings")).to_have_value(re.compile(r'\{\n  "'))
    picture(page, "change")
    page.get_by_label("Name").fill("Acme Works")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    page.get_by_role("link", name="Acme Works").first.click()
    page.get_by_role("link", name="History", exact=True).click()
    expect(page.get_by_role("cell", name="Acme Works")).to_be_visible()
    picture(page, "history")


def picture_login(page: Page, live_server: LiveServer) -> None:
    page.goto(f"{live_server.url}/admin/login/")
    picture(page, "login")


def test_filters_and_autocompletes(page: Page, live_server: LiveServer, acme: Organization) -> None:
    log_in(page, live_server)
    page.goto(f"{live_server.url}/admin/core/membership/")
    expect(page.locator("#result_list tbody tr")).to_have_count(14)
    page.locator("#changelist-filter .select2-selection").first.click()
    page.locator(".select2-search__field").fill("Glob")
    page.get_by_role("option", name="Globex").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("organization__id__exact="))
    picture(page, "filtered")
    page.get_by_role("link", name="Clear all filters").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(14)


def test_a_key_is_made_and_revoked(page: Page, live_server: LiveServer, acme: Organization) -> None:
    log_in(page, live_server)
    page.goto(f"{live_server.url}/admin/core/apikey/add/")
    choose(page, "organization", "Acme")
    # Of the users, only the organization's own are offered.
    page.locator(".field-user .select2-selection").click()
    page.locator(".select2-search__field").fill("person9")
    options = page.locator(".select2-results__option:not(.loading-results)")
    expect(options).to_have_count(1)
    expect(options).to_have_text("person9@acme.example")
    options.click()
    page.get_by_label("Name").fill("Deployment")
    page.get_by_label("Read the audit log").check()
    picture(page, "key-add")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#key-text")).to_have_text(re.compile(r"^mst_\w{8}_\w{43}$"))
    picture(page, "key-made")
    page.get_by_role("link", name="I have it").click()
    picture(page, "key")
    page.get_by_role("link", name="Revoke…").click()
    picture(page, "revoke")
    page.get_by_label("Reason").fill("It leaked.")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Revoke: Deployment")).to_be_visible()
    assert APIKey.objects.get(name="Deployment").is_revoked


def choose(page: Page, field: str, text: str) -> None:
    """Choose the first row that an autocomplete offers for a text."""
    page.locator(f".field-{field} .select2-selection").click()
    page.locator(".select2-search__field").fill(text)
    page.get_by_role("option", name=text).click()


def test_rows_are_ticked_and_deleted(page: Page, live_server: LiveServer, acme: Organization) -> None:
    log_in(page, live_server)
    page.goto(f"{live_server.url}/admin/core/membership/?role__exact=member&q=person3@acme.example")
    page.locator("#action-toggle").check()
    expect(page.locator(".action-counter")).to_have_text("1 of 1 selected")
    page.locator("select[name=action]").select_option("delete_selected")
    page.get_by_role("button", name="Go", exact=True).click()
    picture(page, "delete-selected")
    page.get_by_role("button", name=re.compile("^Yes")).click()
    expect(page.get_by_text("Successfully deleted 1 membership.")).to_be_visible()
    assert not Membership.objects.filter(user__email="person3@acme.example").exists()


def test_on_a_phone_in_the_dark(page: Page, live_server: LiveServer, acme: Organization) -> None:
    log_in(page, live_server)
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark")
    for name, path in (("phone-index", ""), ("phone-list", "core/apikey/"), ("phone-log", "core/auditevent/")):
        page.goto(f"{live_server.url}/admin/{path}")
        picture(page, name)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} is too wide"

"""Lists: a bounded number of queries, counts that read no table, pages that lose and repeat no row."""

import re
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core.admin.changelist import COUNT_CAP, count
from core.admin.ordering import orders
from core.models import APIKey, AuditEvent, Membership, Organization, User
from tests.admin import pages
from tests.admin.conftest import Staff
from tests.factories.core import APIKeyFactory, AuditEventFactory, MembershipFactory, OrganizationFactory


def link(html: str, relation: str) -> str | None:
    """Return the address of the next or the previous page."""
    found = re.search(rf'<a href="([^"]+)" rel="{relation}"', html)
    return unescape(found[1]) if found else None


def leaf(client: Client, address: str, relation: str) -> list[list[str]]:
    """Return the ids of each page, from an address on."""
    found: list[list[str]] = []
    base, query = address.split("?")[0], address
    while True:
        html = client.get(query).content.decode()
        found.append(pages.listed(html))
        following = link(html, relation)
        if following is None:
            return found
        query = base + following


def analyze() -> None:
    """Have the planner's estimate of the organizations renewed."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE core_organization")


class TestQueries:
    @pytest.mark.parametrize("label", [name for name in pages.names() if name.startswith("core.")])
    @pytest.mark.parametrize("who", ["superuser", "staff"])
    def test_are_at_most_ten_however_many_rows(
        self, label: str, who: str, request: pytest.FixtureRequest, organization: Organization
    ) -> None:
        person: Staff = request.getfixturevalue(who)
        address = pages.url("changelist", pages.admin_of(label).model)
        spent = []
        for rows in (5, 95):
            for _ in range(rows):
                membership = MembershipFactory(organization=organization)
                APIKeyFactory(organization=organization, user=membership.user)
                AuditEventFactory(organization=organization, user=membership.user)
                if who == "superuser":
                    OrganizationFactory()
            with CaptureQueriesContext(connection) as queries:
                assert person.client.get(address).status_code == 200
            spent.append(len(queries))
        assert spent[1] <= 10, "\n".join(query["sql"][:300] for query in queries.captured_queries)
        # A list that fits on one page needs no count; else there are the planner's estimate and the count.
        assert spent[0] <= spent[1] <= spent[0] + 2

    def test_neither_hashes_nor_settings_are_read(self, superuser: Staff, organization: Organization) -> None:
        APIKeyFactory(organization=organization)
        with CaptureQueriesContext(connection) as queries:
            superuser.client.get(pages.url("changelist", APIKey))
        rows = [query["sql"] for query in queries.captured_queries if 'FROM "core_apikey"' in query["sql"]]
        assert rows
        assert not [sql for sql in rows if '"settings"' in sql]


class TestCount:
    def test_of_a_large_table_is_the_planners_estimate(self, superuser: Staff, organization: Organization) -> None:
        Organization.objects.bulk_create(
            Organization(name=f"Bulk {n}", slug=f"bulk-{n}") for n in range(COUNT_CAP + 200)
        )
        analyze()
        with CaptureQueriesContext(connection) as queries:
            found = count(Organization.objects.all())
        assert found.estimated
        assert found.number == Organization.objects.count()
        assert len(queries) == 1
        assert "COUNT(" not in str(queries.captured_queries).upper()
        html = superuser.client.get(pages.url("changelist", Organization)).content.decode()
        assert f"about {found.number:,}" in html
        # What ANALYZE tells the planner outlives the rollback of this test.
        Organization.objects.all().delete()
        analyze()

    def test_of_filtered_rows_is_capped(self, db: None) -> None:
        Organization.objects.bulk_create(Organization(name=f"Bulk {n}", slug=f"bulk-{n}") for n in range(30))
        assert str(count(Organization.objects.filter(name__startswith="Bulk"), cap=20)) == "more than 20"
        assert str(count(Organization.objects.filter(name__startswith="Bulk"), cap=30)) == "30"

    def test_that_the_planner_takes_for_dear_is_an_estimate(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        OrganizationFactory.create_batch(3)
        monkeypatch.setattr("core.admin.changelist.DEAR", 0)
        with CaptureQueriesContext(connection) as queries:
            assert count(Organization.objects.filter(is_active=True)).estimated
        assert len(queries) == 1
        assert queries.captured_queries[0]["sql"].startswith("EXPLAIN")

    def test_of_a_table_never_analyzed_is_exact(self, db: None) -> None:
        OrganizationFactory.create_batch(3)
        assert str(count(Organization.objects.all())) == "3"


class TestPages:
    @pytest.fixture
    def tied(self, organization: Organization) -> list[APIKey]:
        """Return keys that tie in all that the list can be ordered by but their id."""
        APIKeyFactory.create_batch(25, organization=organization, name="Same")
        APIKey.objects.update(expires_at=datetime(2030, 1, 1, tzinfo=UTC))
        return list(APIKey.objects.order_by("-pk"))

    @pytest.fixture(autouse=True)
    def _short_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(pages.admin_of("core.APIKey")), "list_per_page", 10)
        monkeypatch.setattr(type(pages.admin_of("core.AuditEvent")), "list_per_page", 10)

    def test_hold_each_row_once_in_both_directions(self, superuser: Staff, tied: list[APIKey]) -> None:
        address = pages.url("changelist", APIKey)
        forth = leaf(superuser.client, address, "next")
        assert [len(page) for page in forth] == [10, 10, 5]
        assert [row for page in forth for row in page] == [str(key.pk) for key in tied]
        last = superuser.client.get(address).content.decode()
        for _ in range(2):
            last = superuser.client.get(address + str(link(last, "next"))).content.decode()
        back = leaf(superuser.client, address + str(link(last, "prev")), "prev")
        assert back == [forth[1], forth[0]]

    def test_keep_filters_and_order(self, staff: Staff, tied: list[APIKey]) -> None:
        address = pages.url("changelist", APIKey) + "?created_at__gte=2020-01-01"
        html = staff.client.get(address).content.decode()
        following = str(link(html, "next"))
        assert "created_at__gte=2020-01-01" in following
        second = staff.client.get(address.split("?")[0] + following).content.decode()
        assert pages.listed(second) == [str(key.pk) for key in tied[10:20]]

    def test_go_on_where_they_ended_though_rows_come_in(self, superuser: Staff, organization: Organization) -> None:
        events = AuditEventFactory.create_batch(15, organization=organization)
        address = pages.url("changelist", AuditEvent) + "?event_type__exact=organization.note"
        html = superuser.client.get(address).content.decode()
        AuditEventFactory.create_batch(5, organization=organization)
        rest = superuser.client.get(address.split("?")[0] + str(link(html, "next"))).content.decode()
        assert set(pages.listed(rest)) == {str(event.pk) for event in events[:5]}

    @pytest.mark.parametrize("cursor", ["nonsense", "e30", "W10", "!", "WyItaWQiLGZhbHNlLFsibm8iXV0"])
    def test_a_wrong_cursor_leads_to_the_first_page(self, superuser: Staff, cursor: str) -> None:
        response = superuser.client.get(pages.url("changelist", APIKey), {"cursor": cursor})
        assert response.status_code == 302
        assert response.headers["Location"].endswith("?e=1")


class TestOrder:
    def test_is_by_columns_that_an_index_leads(self) -> None:
        everywhere = orders(Membership, in_one_organization=False)
        assert everywhere["user"] == ("user",)
        assert "created_at" not in everywhere
        assert orders(Membership, in_one_organization=True)["created_at"] == ("created_at", "id")

    def test_by_a_column(self, staff: Staff, organization: Organization) -> None:
        MembershipFactory.create_batch(3, organization=organization)
        model_admin = pages.admin_of("core.Membership")
        request = staff.client.get(pages.url("changelist", Membership)).wsgi_request
        column = model_admin.get_list_display(request).index("created_at") + 1  # after the boxes to tick
        address = pages.url("changelist", Membership)
        ascending = pages.listed(staff.client.get(address, {"o": column}).content.decode())
        descending = pages.listed(staff.client.get(address, {"o": f"-{column}"}).content.decode())
        expected = [str(pk) for pk in Membership.objects.order_by("created_at", "pk").values_list("pk", flat=True)]
        assert ascending == expected
        assert descending == expected[::-1]

    @pytest.mark.parametrize("order", ["99", "-99", "x", "1.2", "-", "²"])
    def test_by_nonsense_is_the_usual_one(self, superuser: Staff, order: str) -> None:
        assert superuser.client.get(pages.url("changelist", User), {"o": order}).status_code == 200


class TestFilters:
    def test_of_dates_take_whole_days(self, superuser: Staff, organization: Organization) -> None:
        APIKeyFactory(organization=organization, expires_at=datetime(2030, 1, 1, 23, 59, tzinfo=UTC))
        address = pages.url("changelist", APIKey)
        day = {"expires_at__gte": "2030-01-01", "expires_at__lt": "2030-01-02"}
        assert len(pages.listed(superuser.client.get(address, day).content.decode())) == 1
        assert pages.listed(superuser.client.get(address, {"expires_at__gte": "2030-01-02"}).content.decode()) == []

    @pytest.mark.parametrize(
        "query",
        [
            {"created_at__gte": "yesterday"},
            {"created_at__gte": "2020-13-45"},
            {"user__id__exact": "nobody"},
            {"organization__id__exact": "x"},
        ],
    )
    def test_with_nonsense_are_dropped(self, superuser: Staff, query: dict[str, str]) -> None:
        response = superuser.client.get(pages.url("changelist", Membership), query)
        assert response.status_code == 302
        assert response.headers["Location"].endswith("?e=1")

    @pytest.mark.parametrize(
        ("model", "lookup"),
        [
            (APIKey, "digest__startswith"),
            (APIKey, "digest"),
            (APIKey, "user__password__startswith"),
            (APIKey, "user__id__exact__password"),
            (User, "password__startswith"),
            (User, "memberships__organization__name"),
            (Membership, "organization__settings__secret"),
        ],
    )
    def test_ask_nothing_about_hidden_columns(self, superuser: Staff, model: Any, lookup: str) -> None:
        assert superuser.client.get(pages.url("changelist", model), {lookup: "a"}).status_code == 400

    def test_draw_no_list_of_rows(self, superuser: Staff, organization: Organization) -> None:
        name = OrganizationFactory(name="Not to be listed").name
        html = superuser.client.get(pages.url("changelist", Membership)).content.decode()
        assert 'data-field-name="organization"' in html
        assert name not in html


def test_a_filter_that_takes_too_long_is_told(superuser: Staff, organization: Organization) -> None:
    APIKeyFactory.create_batch(3, organization=organization)
    with connection.cursor() as cursor:
        cursor.execute("CREATE FUNCTION dawdle(text) RETURNS boolean LANGUAGE sql AS 'SELECT pg_sleep(5) IS NULL'")
        cursor.execute("ALTER TABLE core_apikey RENAME TO core_apikey_rows")
        cursor.execute("CREATE VIEW core_apikey AS SELECT * FROM core_apikey_rows WHERE dawdle(name)")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 1000")
        cursor.execute("SAVEPOINT before_the_page")
        response = superuser.client.get(pages.url("changelist", APIKey), {"created_at__gte": "2020-01-01"})
        cursor.execute("ROLLBACK TO before_the_page")
    assert response.status_code == 302
    assert "takes too long" in str(response.cookies) + str(list(get_messages(response.wsgi_request)))


def test_a_search_by_id_finds_the_row(superuser: Staff) -> None:
    organizations = OrganizationFactory.create_batch(3)
    html = superuser.client.get(pages.url("changelist", Organization), {"q": str(organizations[1].pk)}).content.decode()
    assert pages.listed(html) == [str(organizations[1].pk)]


def test_a_search_takes_any_text(superuser: Staff) -> None:
    for term in ("%", "\\", "'", "ü", "a" * 5000, "\x00"):
        assert superuser.client.get(pages.url("changelist", User), {"q": term}).status_code == 200

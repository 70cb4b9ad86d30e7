"""The benchmarks' database: a million orders, made once and kept; and a cursor to fill one with."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection, transaction

from catalog.models import Order, Product
from core.models import APIKey, Membership, Organization, Role, Scope, User

ORDERS = 1_000_000
BATCH = 50_000
ORGANIZATIONS = 20  # the first has a quarter of the orders, the others share the rest
CUSTOMERS, PRODUCTS = 50, 200  # of each organization
SQL = Path(__file__).with_name("orders.sql").read_text()


def prepare() -> None:
    """Migrate the database and fill it, unless that was done before."""
    call_command("migrate", verbosity=0)
    done = Order.objects.count()
    if done >= ORDERS:
        return
    _make_people_and_products()
    began = time.monotonic()
    for first in range(done, ORDERS, BATCH):
        _make_orders(first, first + BATCH - 1)
        print(f"\r{first + BATCH:,} orders after {time.monotonic() - began:.0f} s", end="", flush=True)
    print()
    with unlimited_cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


@contextmanager
def unlimited_cursor() -> Iterator[Any]:
    """Give a cursor whose statements may take as long as filling a database takes."""
    with connection.cursor() as cursor:
        kept = connection.connection.limit  # of this end, which would give up a while after the server's
        cursor.execute("SET statement_timeout = 0")
        connection.connection.limit = 0
        try:
            yield cursor
            cursor.execute("RESET statement_timeout")
        finally:
            connection.connection.limit = kept


def key_of(number: int) -> str:
    """Return the text of a new API key of the owner of organization ``number``."""
    membership = Membership.objects.get(organization__slug=f"benchmark-{number}", role=Role.OWNER)
    scopes = [Scope.CATALOG_READ.value]
    return APIKey.issue(
        user=membership.user, organization_id=membership.organization_id, name="Benchmark", scopes=scopes
    )[1]


@transaction.atomic
def _make_people_and_products() -> None:
    if Organization.objects.filter(slug="benchmark-0").exists():
        return
    for number in range(ORGANIZATIONS):
        organization = Organization.objects.create(name=f"Organization {number}", slug=f"benchmark-{number}")
        people = User.objects.bulk_create(
            User(email=f"user{n}@{number}.example", username=f"user{n}", name=f"User {n}") for n in range(CUSTOMERS)
        )
        Membership.objects.bulk_create(
            Membership(organization=organization, user=user, role=Role.OWNER if n == 0 else Role.CUSTOMER)
            for n, user in enumerate(people)
        )
        Product.objects.bulk_create(
            Product(
                organization=organization,
                sku=f"SKU-{n:04d}",
                name=f"Product {n}",
                slug=f"product-{n}",
                status="active",
                price=f"{1 + n % 90}.50",
                currency="EUR",
            )
            for n in range(PRODUCTS)
        )


@transaction.atomic
def _make_orders(first: int, last: int) -> None:
    numbers = {"first": first, "last": last, "small": ORGANIZATIONS - 1}
    with connection.cursor() as cursor:
        # Past the triggers, which check and audit row by row; the rows keep the rules all the same.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "CREATE TEMP TABLE benchmark_customer ON COMMIT DROP AS"
            " SELECT split_part(slug, '-', 2)::int AS k, substr(username, 5)::int AS c, user_id, organization_id,"
            " person.name FROM core_membership"
            " JOIN core_user AS person ON person.id = user_id"
            " JOIN core_organization AS organization ON organization.id = organization_id;"
            "CREATE TEMP TABLE benchmark_product ON COMMIT DROP AS"
            " SELECT split_part(organization.slug, '-', 2)::int AS k, substr(sku, 5)::int AS p, product.*"
            " FROM catalog_product AS product"
            " JOIN core_organization AS organization ON organization.id = organization_id;"
            "CREATE INDEX ON benchmark_product (k, p); ANALYZE benchmark_product, benchmark_customer"
        )
        for statement in SQL.split(";\n"):
            if statement.strip():
                cursor.execute(statement, numbers | {"customers": CUSTOMERS, "products": PRODUCTS})

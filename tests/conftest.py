"""The cast and the ground rules of all tests.

The tests have two organizations. In ours act ``owner``, ``admin``, ``teammate`` (role member), ``viewer`` and
``customer``; in the other one the ``stranger``. Each is an Actor (see tests/kit/cast.py): ``owner.client`` has a
session, ``owner.by_key`` an API key. ``anonymous`` carries no credentials, ``reader`` a key of the owner that may
only read core's records.
"""

import gc
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection
from django.test import TransactionTestCase, override_settings
from pytest_socket import socket_allow_hosts

from core.models import Organization, Role, Scope
from tests.factories.core import OrganizationFactory
from tests.kit import bytecode, database, serving
from tests.kit.cast import Actor, make_actor
from tests.kit.client import ApiClient


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let tests run with the rights that web processes and workers have: ``pytest tests/api --as-serving-role``."""
    parser.addoption("--as-serving-role", action="store_true", help="Run on the database as the serving role.")


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are processors: many tests wait for programs that they have started."""
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return len(processors) + 1


def pytest_configure(config: pytest.Config) -> None:
    bytecode.keep(config.rootpath / ".pytest_cache" / "bytecode")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """Make the test databases, and with the option, let every connection from then on be the serving role's."""
    if not request.config.getoption("--as-serving-role"):
        yield
        return
    with django_db_blocker.unblock(), serving.connections_as_serving_role():
        yield


# What takes tens of seconds goes first, so that no process is left with it alone at the end.
SLOW = (
    "tests/commands/",
    "tests/test_walk.py",
    "tests/clients/",
    "tests/core/jobs/",
    "tests/outages/",
    "tests/config/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Let the garbage collector pass over what stays: thousands of tests, and all that they import."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(20_000, 50, 50)  # tests are short, and what they make is many


@pytest.fixture(scope="session", autouse=True)
def _transactional_tests_leave_no_row() -> Iterator[None]:
    """Empty the tables as the test kit does: Django's flush truncates, and the audit log refuses that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: database.empty_all_tables())
        yield


@pytest.fixture(scope="session", autouse=True)
def _each_password_is_hashed_once() -> Iterator[None]:
    """Make each password's hash once: hundreds of tests make the same users, and a hash takes long, as it should."""
    encode = Argon2PasswordHasher.encode

    @cache
    def once(hasher: type[Argon2PasswordHasher], password: str) -> str:
        return encode(hasher(), password, hasher().salt())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Argon2PasswordHasher, "encode", lambda hasher, password, salt: once(type(hasher), password))
        yield


@pytest.fixture(autouse=True)
def _loopback_only() -> None:
    """Let no test out of this machine."""
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def _unlimited() -> Iterator[None]:
    """Let tests ask as often as they like, but for those of the limits, which set their own."""
    with override_settings(RATE_LIMITS={}):
        yield


@pytest.fixture(scope="module")
def lasting(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let the fixtures of a module commit rows that all of its tests share. They go with the module.

    Each test still runs in a transaction of its own. For modules of many tests that read much and make little; their
    ``pytestmark`` is ``django_db``.
    """
    with django_db_blocker.unblock():
        assert str(connection.settings_dict["NAME"]).startswith("test_"), "No test of this run is marked django_db."
        yield
        database.empty_all_tables()


@pytest.fixture(scope="module")
def cast(lasting: None) -> dict[str, Actor]:
    """The cast, for all tests of a module: the other fixtures of this file make one for a single test."""
    acme, globex = OrganizationFactory(name="Acme", slug="acme"), OrganizationFactory(name="Globex", slug="globex")
    ours = {"owner": Role.OWNER, "admin": Role.ADMIN, "teammate": Role.MEMBER}
    ours |= {"viewer": Role.VIEWER, "customer": Role.CUSTOMER}
    actors = {name: make_actor(acme, role, name) for name, role in ours.items()}
    return actors | {"stranger": make_actor(globex, Role.OWNER, "stranger")}


@pytest.fixture
def writes_nothing() -> Callable[[], AbstractContextManager[None]]:
    """``with writes_nothing():`` fails when the block changed any row."""
    return database.writes_nothing


@pytest.fixture
def organization(db: None) -> Organization:
    """Our organization."""
    return OrganizationFactory(name="Acme", slug="acme")


@pytest.fixture
def other_organization(db: None) -> Organization:
    """The other organization, of which ours never sees anything."""
    return OrganizationFactory(name="Globex", slug="globex")


@pytest.fixture
def owner(organization: Organization) -> Actor:
    """The owner of our organization."""
    return make_actor(organization, Role.OWNER, "owner")


@pytest.fixture
def admin(organization: Organization) -> Actor:
    """An admin of our organization."""
    return make_actor(organization, Role.ADMIN, "admin")


@pytest.fixture
def teammate(organization: Organization) -> Actor:
    """A member of our organization."""
    return make_actor(organization, Role.MEMBER, "teammate")


@pytest.fixture
def viewer(organization: Organization) -> Actor:
    """A viewer of our organization."""
    return make_actor(organization, Role.VIEWER, "viewer")


@pytest.fixture
def customer(organization: Organization) -> Actor:
    """A customer of our organization."""
    return make_actor(organization, Role.CUSTOMER, "customer")


@pytest.fixture
def stranger(other_organization: Organization) -> Actor:
    """The owner of the other organization."""
    return make_actor(other_organization, Role.OWNER, "stranger")


@pytest.fixture
def anonymous(db: None) -> ApiClient:
    """A client without credentials."""
    return ApiClient()


@pytest.fixture
def reader(owner: Actor) -> ApiClient:
    """A client with a key of the owner that may only read core's records."""
    return owner.with_scopes([Scope.CORE_READ])

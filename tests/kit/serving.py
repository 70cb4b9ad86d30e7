"""The serving role, for tests: its rights are those of web processes and workers, while tests have a superuser's."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from config.postgresql.base import close_pool
from core.roles import Roles


def roles() -> Roles:
    """Return roles of this test database's own: roles are the server's, whose databases other processes test on."""
    name = connection.settings_dict["NAME"]
    return Roles(owner=f"{name}_owner", serving=f"{name}_serving")


@contextmanager
def connections_as_serving_role() -> Iterator[None]:
    """Let every new connection be the serving role's. Not in a transaction."""
    names = roles()
    names.apply()
    options = connection.settings_dict["OPTIONS"]
    before = options["options"]
    # Not by Django's assume_role: setting that asks a pool for a connection while it makes one.
    options["options"] = f"{before} -c role={names.serving}"
    _begin_anew()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (names.serving,)
    connection.close()
    yield
    options["options"] = before
    _begin_anew()
    with connection.cursor() as cursor:
        cursor.execute(f'REASSIGN OWNED BY "{names.owner}" TO CURRENT_USER')
        cursor.execute(f'DROP OWNED BY "{names.serving}"; DROP OWNED BY "{names.owner}"')
        cursor.execute(f'DROP ROLE "{names.owner}", "{names.serving}"')
    _begin_anew()


def _begin_anew() -> None:
    connection.close()
    close_pool(connection.alias)

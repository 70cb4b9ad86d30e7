"""Databases that exchange names: what becomes of them where something interrupts it."""

import threading
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from core.backup import BackupError, Place, databases
from tests.kit.waiting import PATIENCE

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("backup")]

RENAMING = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock' AND query ~ 'RENAME TO'"


@pytest.fixture
def pair(original: Place) -> Iterator[tuple[Place, Place]]:
    """Two empty databases, of a role that is no superuser."""
    name = f"test_exchanged_{uuid.uuid4().hex[:12]}"
    with original.beside("postgres").connect() as direct:
        direct.execute(f"CREATE ROLE {name} LOGIN CREATEDB")
        direct.execute(f"CREATE DATABASE {name} OWNER {name}")
        direct.execute(f"CREATE DATABASE {name}_new OWNER {name}")
        place = Place({**original.parameters, "user": name, "dbname": name}, original.programs)
        yield place, place.beside(f"{name}_new")
        for each in ("", "_new", "_kept"):
            direct.execute(f"DROP DATABASE IF EXISTS {name}{each} WITH (FORCE)")
        direct.execute(f"DROP ROLE {name}")


def test_they_exchange_names(pair: tuple[Place, Place]) -> None:
    place, new = pair
    with new.connect() as direct:
        direct.execute("CREATE TABLE of_the_new_one ()")
    databases.exchange(place, new, kept_as=f"{place.name}_kept")
    with place.connect() as direct, place.beside(f"{place.name}_kept").connect() as former:
        assert databases.something_in(direct) == "the table of_the_new_one"
        assert databases.something_in(former) is None


@pytest.mark.parametrize("locked_out", [False, True])
def test_where_the_connection_is_lost_the_former_one_takes_connections_again_or_says_how(
    locked_out: bool, pair: tuple[Place, Place], original: Place
) -> None:
    place, new = pair
    with original.beside("postgres").connect() as holder, original.beside("postgres").connect() as other:
        holder.execute("BEGIN")
        holder.execute(f"COMMENT ON DATABASE {place.name} IS 'its lock lets no renaming through'")

        def interrupt() -> None:
            while not (waiting := other.execute(RENAMING, [place.name]).fetchone()):
                threading.Event().wait(0.02)
            if locked_out:
                other.execute(f"ALTER ROLE {place.name} NOLOGIN")
            other.execute("SELECT pg_terminate_backend(%s, 5000)", waiting)
            holder.execute("ROLLBACK")

        thread = threading.Thread(target=interrupt, daemon=True)
        thread.start()
        with pytest.raises((BackupError, psycopg.OperationalError)) as refusal:
            databases.exchange(place, new, kept_as=f"{place.name}_kept")
        thread.join(timeout=PATIENCE)
        command = f'ALTER DATABASE "{place.name}" ALLOW_CONNECTIONS true;'
        if locked_out:
            assert isinstance(refusal.value, BackupError)
            assert str(refusal.value).endswith(command)
            other.execute(f"ALTER ROLE {place.name} LOGIN")
            other.execute(command)
        else:
            assert isinstance(refusal.value, psycopg.errors.AdminShutdown)
        with place.connect() as direct, new.connect():
            assert databases.something_in(direct) is None

"""`manage.py doctor`: healthy, unmigrated, half-broken and unreachable databases."""

import json
import re
import shlex
import socket
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from pgtrigger import registered

from config.embedded_postgres.server import binaries
from core import doctor
from tests.commands.conftest import Scratch

pytestmark = pytest.mark.django_db


def examine() -> dict[str, Any]:
    """What the doctor answers to programs; its exit status must agree."""
    out = StringIO()
    status = 0
    try:
        call_command("doctor", "--format", "json", stdout=out)
    except SystemExit as end:
        status = end.code
    answer = json.loads(out.getvalue())
    assert answer["healthy"] == (status == 0)
    return answer


def problems() -> dict[str, tuple[str, str]]:
    """The problems found: what is wrong, with its check and its remedy."""
    found = [finding for finding in examine()["findings"] if finding["level"] == "problem"]
    return {finding["message"]: (finding["check"], finding["remedy"]) for finding in found}


def warnings() -> list[tuple[str, str]]:
    """The warnings: what may do harm, and the remedy."""
    return [(each["message"], each["remedy"]) for each in examine()["findings"] if each["level"] == "warning"]


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def trigger(uri: str) -> str:
    """The name of a trigger in the database."""
    ((model, each),) = registered(uri)
    return each.get_pgid(model)


CHECK = "CHECK (role IN ('owner', 'admin', 'member', 'viewer', 'customer'))"
ROLE = "ALTER TABLE core_membership DROP CONSTRAINT core_membership_role"
PLAN = "ALTER TABLE core_organization DROP CONSTRAINT core_organization_plan_tier"

# What is broken, and the check and the message that name it.
MENDABLE = [
    ("DROP INDEX core_user_newest", "indexes", "The index core_user_newest is missing."),
    ("DROP INDEX catalog_product_search", "indexes", "The index catalog_product_search is missing."),
    (
        "DROP INDEX catalog_product_tags; CREATE INDEX catalog_product_tags ON catalog_product (name)",
        "indexes",
        "The index catalog_product_tags isn't as it should be.",
    ),
    (
        "ALTER TABLE catalog_product DROP CONSTRAINT catalog_product_status",
        "constraints",
        "The constraint catalog_product_status of catalog_product is missing.",
    ),
    (
        f"{PLAN}, ADD CONSTRAINT core_organization_plan_tier CHECK (plan_tier <> '')",
        "constraints",
        "The constraint core_organization_plan_tier of core_organization is “CHECK (plan_tier::text <> ''::text)”.",
    ),
    (
        f"{ROLE}, ADD CONSTRAINT core_membership_role {CHECK} NOT VALID",
        "constraints",
        "The constraint core_membership_role of core_membership isn't validated: old rows may break it.",
    ),
    (
        "ALTER TABLE core_membership DROP CONSTRAINT core_membership_pair",
        "constraints",
        "The constraint core_membership_pair of core_membership is missing.",
    ),
    (
        "ALTER TABLE catalog_orderline DROP CONSTRAINT catalog_orderline_order_same_organization",
        "constraints",
        "The constraint catalog_orderline_order_same_organization of catalog_orderline is missing.",
    ),
    ("ALTER TABLE core_user DROP COLUMN last_login", "columns", "The column core_user.last_login is missing."),
    (
        f"DROP TRIGGER {trigger('core.APIKey:audit')} ON core_apikey",
        "triggers",
        "The trigger core.APIKey:audit is missing.",
    ),
    (
        f"ALTER TABLE core_user DISABLE TRIGGER {trigger('core.User:audit')}",
        "triggers",
        "The trigger core.User:audit is disabled.",
    ),
    (
        f"COMMENT ON TRIGGER {trigger('catalog.Order:audit')} ON catalog_order IS 'of another version'",
        "triggers",
        "The trigger catalog.Order:audit is outdated.",
    ),
]
# The same, with the beginning of the remedy, of what a remedy can't mend right here.
BROKEN = [
    (
        "ALTER TABLE core_user ALTER COLUMN name TYPE varchar(20)",
        "columns",
        "The column core_user.name is “character varying(20) NOT NULL”,"
        " and should be “character varying(200) NOT NULL”.",
        "ALTER TABLE core_user ALTER COLUMN name …;",
    ),
    (
        "ALTER TABLE core_user ALTER COLUMN id DROP DEFAULT",
        "columns",
        "The column core_user.id is “uuid NOT NULL”, and should be “uuid DEFAULT muster_uuid7() NOT NULL”.",
        "ALTER TABLE core_user ALTER COLUMN id …;",
    ),
    (
        "DROP TABLE catalog_usagerecord",
        "tables",
        "The table catalog_usagerecord is missing.",
        "Restore it from a backup, or make an empty one as migrations do (manage.py sqlmigrate catalog …).",
    ),
    (
        "CREATE OR REPLACE FUNCTION muster_audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "functions",
        "The function muster_audit isn't what its migration made.",
        "Make it anew, as this prints it: manage.py sqlmigrate core 0001_initial",
    ),
    (
        "SET LOCAL session_replication_role = replica",
        "settings",
        "session_replication_role is replica: no rule that a trigger keeps is in force.",
        "Reset it where it is set",
    ),
    (
        "SET LOCAL TimeZone = 'Europe/Berlin'",
        "settings",
        "Sessions run in the time zone Europe/Berlin.",
        "ALTER DATABASE",
    ),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'core_auditevent_newest'::regclass",
        "indexes",
        "The index core_auditevent_newest is invalid.",
        "REINDEX INDEX CONCURRENTLY core_auditevent_newest;",
    ),
]
# Where these are gone, the rest can't be held against what it should be.
GONE = [
    (
        "DELETE FROM django_migrations WHERE app = 'catalog' AND name = '0001_initial'",
        "migrations",
        "1 migrations aren't applied: catalog.0001_initial.",
        "manage.py migrate",
    ),
    (
        "DROP FUNCTION muster_last_owner() CASCADE",
        "functions",
        "The function muster_last_owner is missing.",
        "Make it anew, as this prints it: manage.py sqlmigrate core 0001_initial",
    ),
    (
        "DROP FUNCTION catalog_currency_digits(text) CASCADE",
        "functions",
        "The function catalog_currency_digits is missing.",
        "Make it anew, as this prints it: manage.py sqlmigrate catalog 0001_initial",
    ),
    (
        "DROP EXTENSION pg_trgm CASCADE",
        "extensions",
        "The extension pg_trgm isn't there.",
        "manage.py migrate; or, as a superuser: psql -c",
    ),
    (
        "DROP FUNCTION muster_uuid7() CASCADE",
        "functions",
        "The function muster_uuid7 is missing.",
        "Make it anew, as this prints it: manage.py sqlmigrate core 0001_initial",
    ),
]


def test_a_healthy_database() -> None:
    out = StringIO()
    call_command("doctor", stdout=out)
    lines = out.getvalue().splitlines()
    assert re.fullmatch(r"0 problems, \d+ warnings?\.", lines[-1])
    well = {line[2:].split("  ")[0].strip() for line in lines if line.startswith("✓")}
    assert {"connection", "version", "extensions", "migrations", "models", "tables", "columns", "indexes"} <= well
    assert {"constraints", "functions", "triggers", "variables", "media", "static files"} <= well


def test_it_leaves_nothing_behind(writes_nothing: Any) -> None:
    count = "SELECT count(*), sum(hashtextextended(oid::text || relname, 0))::text FROM pg_class"
    with connection.cursor() as cursor, writes_nothing():
        cursor.execute(count)
        before = cursor.fetchone()
        examine()
        cursor.execute(count)
        assert cursor.fetchone() == before


def test_all_that_is_broken_is_named_and_the_remedies_mend_it() -> None:
    for statement, _, _ in MENDABLE:
        execute(statement)
    found = problems()
    assert {message: check for message, (check, _) in found.items()} == {
        message: check for _, check, message in MENDABLE
    }
    for _, remedy in found.values():
        if remedy.startswith("manage.py"):
            call_command(*shlex.split(remedy)[1:], stdout=StringIO(), stderr=StringIO())
        else:
            execute(remedy)
    assert problems() == {}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the doctor compare no definitions, which takes it most of its time."""
    monkeypatch.setattr(doctor, "DEFINITIONS", {})


@pytest.mark.parametrize("broken", [BROKEN, *([each] for each in GONE)], ids=lambda broken: broken[0][0])
def test_what_is_broken_is_named_with_its_remedy(broken: list[tuple[str, str, str, str]]) -> None:
    for statement, *_ in broken:
        execute(statement)
    found = problems()
    for _, check, message, remedy in broken:
        assert message in found
        assert found[message][0] == check
        assert found[message][1].startswith(remedy)


def test_a_function_that_is_gone_takes_its_triggers_along() -> None:
    execute("DROP FUNCTION muster_last_owner() CASCADE")
    assert "The trigger core.Membership:last_owner is missing." in problems()


@pytest.mark.usefixtures("quick")
def test_a_database_of_a_newer_program() -> None:
    execute("INSERT INTO django_migrations (app, name, applied) VALUES ('core', '9999_tomorrow', now())")
    (found,) = [message for message, _ in warnings() if "9999" in message]
    assert found == "core.9999_tomorrow is applied, but this program doesn't bring it: the database is newer."


@pytest.mark.usefixtures("quick")
def test_variables_that_nobody_reads_or_that_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_POOLSIZE", "3")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    expected = (
        "DB_POOLSIZE (environment) is no variable of Muster.",
        "Rename or remove it: did you mean DB_POOL_SIZE?",
    )
    assert expected in warnings()
    assert [message for message in problems() if message.startswith("LOG_LEVEL: got 'LOUD'; wants one of DEBUG,")]


@pytest.mark.usefixtures("quick")
def test_debug_with_a_database_of_its_own(settings: Any) -> None:
    settings.DEBUG, settings.EMBEDDED = True, False
    assert any(message.startswith("DEBUG is on") for message, _ in warnings())


@pytest.mark.usefixtures("quick")
def test_a_folder_that_cannot_be_written(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.MEDIA_ROOT = tmp_path / "file" / "media"
    assert any(message.startswith(f"Uploads can't be kept in {settings.MEDIA_ROOT}") for message in problems())


@pytest.mark.usefixtures("quick")
def test_static_files_that_were_not_collected(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    backend = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": backend}}
    (found,) = [remedy for message, (_, remedy) in problems().items() if "static files aren't collected" in message]
    assert found == "manage.py collectstatic --noinput"


def test_a_database_restored_from_a_dump_is_healthy(scratch: Scratch) -> None:
    place = ["-h", scratch.variables["DB_HOST"], "-p", scratch.variables["DB_PORT"], "-U", scratch.variables["DB_USER"]]
    programs = binaries()
    dump = subprocess.run(
        [programs / "pg_dump", *place, connection.settings_dict["NAME"]], capture_output=True, check=True
    ).stdout
    restore = [programs / "psql", *place, "-q", "-v", "ON_ERROR_STOP=1", scratch.variables["DB_NAME"]]
    subprocess.run(restore, input=dump, capture_output=True, check=True)
    done = scratch.manage("doctor")
    assert "✗" not in done.stdout
    assert done.returncode == 0


def test_an_unmigrated_database(scratch: Scratch) -> None:
    done = scratch.manage("doctor")
    assert done.returncode == 1
    assert re.search(r"^✗ migrations +\d+ migrations aren't applied: contenttypes.0001_initial, ", done.stdout, re.M)
    assert "→ manage.py migrate\n" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    seeding = scratch.manage("seed")
    assert (seeding.returncode, seeding.stderr) == (
        1,
        "CommandError: The database isn't migrated. Run: manage.py migrate\n",
    )


def test_an_unreachable_database(scratch: Scratch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and doesn't listen
        done = scratch.manage("doctor", DB_HOST="127.0.0.1", DB_PORT=str(nobody.getsockname()[1]))
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(r"^✗ connection +The database 127\.0\.0\.1:\d+/\w+ as \w+ can't be reached \(", done.stdout, re.M)
    assert re.search(r"^ +→ pg_isready -h 127\.0\.0\.1 -p \d+ ", done.stdout, re.M)
    assert re.search(r"^✓ media ", done.stdout, re.M)
    assert re.search(r"^! database +Not checked: version, settings, extensions, migrations, ", done.stdout, re.M)

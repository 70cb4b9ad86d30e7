"""The statements that a new database is begun with, in images too: what they make is enough for an owner to migrate."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from tests.commands.conftest import Installation
from tests.kit.postgres import Postgres

STATEMENTS = Path(settings.BASE_DIR, "config", "postgresql", "roles.sql")
OWNER, SERVING = "the owner's \\ password", 'the "serving" one'


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server that asks everybody but its superuser for a password."""
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder), fsync="off")
        (server.data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        server.start()
        yield server
        server.stop()


def begin(postgres: Postgres, database: str, **passwords: str) -> subprocess.CompletedProcess[str]:
    """Make a database and run the statements in it, as PostgreSQL's image does."""
    with psycopg.connect(postgres.url, autocommit=True) as direct:
        direct.execute(f"CREATE DATABASE {database}")
    place = ["--host=127.0.0.1", f"--port={postgres.port}", "--username=postgres", f"--dbname={database}"]
    return subprocess.run(
        [postgres.programs / "psql", "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "--no-password", *place, "-f", STATEMENTS],
        env={"PATH": os.environ["PATH"], **passwords},
        capture_output=True,
        text=True,
    )


def test_a_password_that_is_missing_ends_it(postgres: Postgres) -> None:
    done = begin(postgres, "without", MUSTER_OWNER_PASSWORD="only this")
    assert done.returncode == 3, done.stderr
    with psycopg.connect(postgres.url, autocommit=True) as direct:
        assert direct.execute("SELECT rolname FROM pg_roles WHERE rolname = 'muster_serving'").fetchall() == []
        direct.execute("DROP DATABASE without")
        direct.execute("DROP ROLE muster_owner")


def test_the_owner_migrates_and_grants_and_the_serving_role_serves(postgres: Postgres, tmp_path: Path) -> None:
    done = begin(postgres, "muster", MUSTER_OWNER_PASSWORD=OWNER, MUSTER_SERVING_PASSWORD=SERVING)
    assert done.returncode == 0, done.stderr
    variables = {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(postgres.port),
        "DB_NAME": "muster",
        "DATA_DIR": str(tmp_path),
        "DEBUG": "1",
        "SECRET_KEY": "only for tests, and for nothing else at all",
    }
    owner = Installation({**variables, "DB_USER": "muster_owner", "DB_PASSWORD": OWNER})
    serving = Installation({**variables, "DB_USER": "muster_serving", "DB_PASSWORD": SERVING})

    refused = serving.manage("migrate", "--no-input")
    assert "permission denied for schema public" in refused.stderr
    owner.succeed("migrate", "--no-input")
    assert 'GRANT SELECT, INSERT ON TABLE\n    core_auditevent\nTO "muster_serving"' in owner.succeed("roles")

    findings = json.loads(owner.manage("doctor", "--format", "json").stdout)["findings"]
    levels = {each["check"]: each["level"] for each in findings}
    made = ("extensions", "migrations", "tables", "columns", "indexes", "constraints", "functions", "triggers")
    assert {check: levels[check] for check in made} == dict.fromkeys(made, "ok")
    serving.succeed("purge", "--older-than", "90d")
    assert "must be owner" in serving.manage("migrate", "core", "zero").stderr
    wrong = Installation({**serving.variables, "DB_PASSWORD": OWNER}).manage("check", "--database", "default")
    assert "password authentication failed" in wrong.stderr

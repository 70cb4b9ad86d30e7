"""Programs of this project as an operator starts them: other processes, with an environment of their own."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg import sql

from config import env

MANAGE = Path(settings.BASE_DIR) / "manage.py"
# Empty is unset, and keeps the developer's .env out.
UNSET = {variable.name: "" for group in env.GROUPS.values() for variable in group}


@dataclass
class Installation:
    """Muster with an environment of its own."""

    variables: dict[str, str]

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a management command."""
        inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        return subprocess.Popen(
            [sys.executable, str(MANAGE), *arguments],
            env={**inherited, **UNSET, **self.variables, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def manage(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a management command to its end."""
        process = self.start(*arguments, **variables)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def succeed(self, *arguments: str) -> str:
        """Run a management command that must succeed, and return what it printed."""
        done = self.manage(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass
class Scratch(Installation):
    """An installation on an empty database of the tests' own server."""

    conninfo: str

    def rows(self, query: str) -> list[tuple]:
        """Return what a query returns."""
        with psycopg.connect(self.conninfo) as direct:
            return direct.execute(query).fetchall()


@pytest.fixture
def scratch(django_db_setup: None, tmp_path: Path) -> Iterator[Scratch]:
    """An installation on an empty database, which is dropped afterwards."""
    connection.get_connection_params()  # fills in where an embedded server is
    place = connection.settings_dict
    name = f"test_scratch_{uuid.uuid4().hex[:12]}"
    pieces = {"host": place["HOST"], "port": place["PORT"], "user": place["USER"], "password": place["PASSWORD"]}
    pieces = {piece: str(value) for piece, value in pieces.items() if value}
    variables = {f"DB_{piece.upper()}": value for piece, value in pieces.items()} | {
        "DB_NAME": name,
        "DATA_DIR": str(tmp_path),
        "DEBUG": "1",
        "SECRET_KEY": "only for tests, and for nothing else at all",
    }
    with psycopg.connect(**pieces, dbname="postgres", autocommit=True) as maintenance:
        maintenance.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield Scratch(variables, psycopg.conninfo.make_conninfo(**pieces, dbname=name))
        maintenance.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

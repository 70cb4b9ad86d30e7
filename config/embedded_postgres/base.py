"""The database backend that starts its own PostgreSQL on the first connection."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql.client import DatabaseClient as PostgresClient
from psycopg import errors, sql

from config.embedded_postgres.server import PORT, USER, Server, binaries
from config.postgresql import base
from config.postgresql.pool import close_pool


class DatabaseClient(PostgresClient):
    """`manage.py dbshell`, by the embedded PostgreSQL's own psql."""

    def runshell(self, parameters: Iterable[str]) -> None:
        """Run psql on the database, starting the server if need be."""
        with self.connection.wrap_database_errors:
            self.executable_name = str(binaries() / "psql")
            self.connection.get_connection_params()  # fills in where the server is
        super().runshell(parameters)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to the embedded server, which keeps its data in the settings' folder `EMBEDDED_IN`."""

    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        """The parameters of a connection to the server, which is started if it doesn't run."""
        host = str(Server.at(self.settings_dict["EMBEDDED_IN"]).ensure_running())
        if self.settings_dict["HOST"] not in ("", host) and self.alias != NO_DB_ALIAS:
            close_pool(self.alias)  # its connections lead to a server that has gone
        self.settings_dict.update(HOST=host, PORT=PORT, USER=USER)
        return super().get_connection_params()

    def reach_database(self, conn_params: dict[str, Any]) -> None:
        """Create the database unless it is there, because a pool would wait in vain for it; connect once."""
        name = conn_params["dbname"]
        with psycopg.connect(**{**conn_params, "dbname": "postgres"}, autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                # Another process may be quicker.
                with suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        super().reach_database(conn_params)

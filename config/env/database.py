"""Where the database is."""

from config.variables import Variable, hidden, masked_url, matching, number, one_of, switch

DATABASE_URL = Variable(
    "DATABASE_URL",
    matching(r"postgres(ql)?://.+"),
    "",
    "postgresql://USER:PASSWORD@HOST:5432/NAME (special characters in the password percent-encoded)",
    "The PostgreSQL database in one line; libpq's parameters may follow a question mark.",
    shown_default="none: the embedded database",
    example="postgresql://muster:password@localhost:5432/muster",
    show=masked_url,
)
DB_HOST = Variable(
    "DB_HOST",
    matching(r"\S+"),
    "",
    "a host name, an address, or the folder of a Unix socket",
    "Instead of DATABASE_URL: the database's host.",
    shown_default="none: the embedded database",
    example="localhost",
)
DB_PORT = number("DB_PORT", 1, 65535, 5432, "The database's port.", noun="port number")
DB_USER = Variable("DB_USER", matching(r".{1,63}"), "muster", "a role's name", "The database's role.")
DB_PASSWORD = Variable(
    "DB_PASSWORD",
    matching(r".+"),
    "",
    "the role's password",
    "The role's password. Empty: libpq looks into ~/.pgpass.",
    shown_default="none",
    show=hidden,
)
DB_NAME = Variable(
    "DB_NAME",
    matching(r".{1,57}"),
    "muster",
    "a database's name of at most 57 characters",  # test databases are prefixed by "test_"
    "The database's name.",
)
DB_SSL_MODE = Variable(
    "DB_SSL_MODE",
    one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "prefer",
    "one of disable, allow, prefer, require, verify-ca, verify-full",
    "Whether the connection to the database is encrypted and its server's certificate checked.",
)
EMBEDDED_POSTGRES = switch(
    "EMBEDDED_POSTGRES",
    None,
    "1: use the embedded PostgreSQL even with DEBUG off. 0: never use it.",
    shown_default="the embedded PostgreSQL serves DEBUG mode when no database is configured",
    example="1",
)

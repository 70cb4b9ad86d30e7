"""Time-ordered identifiers (UUID version 7, RFC 9562), made by the application or by the database."""

import uuid

import uuid_utils
from django.db.models import Func, UUIDField


def uuid7() -> uuid.UUID:
    """Return a new time-ordered UUID, as the standard library's type."""
    return uuid.UUID(int=uuid_utils.uuid7().int)


class DatabaseUUID7(Func):
    """The database's own UUID version 7, for rows that arrive by raw SQL or COPY."""

    function = "muster_uuid7"
    arity = 0
    output_field = UUIDField()

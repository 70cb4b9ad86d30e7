"""Errors of services, told apart by what the caller can do about them."""


class ConflictError(Exception):
    """The request is well-formed, and the present state of the records refuses it.

    ``code`` is for programs, the message for people; ``field`` names the part of the request that conflicts.
    """

    code = "conflict"

    def __init__(self, message: str, *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.field = field

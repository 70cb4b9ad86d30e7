"""Which request a log line belongs to."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestNames:
    """By what a request is known. No field holds anything secret: of a key, it is the prefix that everybody may see."""

    request_id: str
    organization: str = ""
    key_prefix: str = ""

    def told(self) -> dict[str, str]:
        """Return the names that are known."""
        names = {"request_id": self.request_id, "organization": self.organization, "key_prefix": self.key_prefix}
        return {name: value for name, value in names.items() if value}


current: ContextVar[RequestNames | None] = ContextVar("muster_request", default=None)


def identify(*, organization: object = "", key_prefix: str = "") -> None:
    """Tell the log lines that follow on whose behalf the request acts."""
    if names := current.get():
        names.organization = str(organization) if organization else names.organization
        names.key_prefix = key_prefix or names.key_prefix

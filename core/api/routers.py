"""The router: one flat namespace of plural, hyphenated records."""

from rest_framework.routers import SimpleRouter


class RecordRouter(SimpleRouter):
    """Routes records without PUT, and with path converters, so that a malformed id is an unknown address."""

    def __init__(self) -> None:
        super().__init__(use_regex_path=False)

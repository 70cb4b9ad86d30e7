"""What the server makes of charsets, which a client names for the body."""

from io import BytesIO
from typing import Any

import pytest

from config.wsgi import application
from core.request import Request


def request(content_type: str, query: str = "", body: bytes = b"") -> Request:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "QUERY_STRING": query,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }
    return Request(environ)


def test_the_server_makes_these_requests() -> None:
    assert application.request_class is Request


@pytest.mark.parametrize("charset", ["latin-1", "utf-7", "cp500", "utf-16", "rot13", "hex", "undefined", "idna", "x"])
def test_the_address_is_utf_8_whatever_the_body_is_in(charset: str) -> None:
    made = request(f"x/y; charset={charset}", "search=Caf%C3%A9&a=a+AGI-")
    assert made.GET.dict() == {"search": "Café", "a": "a AGI-"}


@pytest.mark.parametrize("charset", ["utf-8", "hex"])
def test_a_charset_that_makes_no_text_is_as_none(charset: str) -> None:
    made = request(f"application/x-www-form-urlencoded; charset={charset}", body=b"name=Caf%C3%A9")
    assert made.POST["name"] == "Café"

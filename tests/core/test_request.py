"""What the server makes of charsets, which a client names for the body."""

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from core.observability.sharing import VARIABLE
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


def test_the_server_makes_these_requests(tmp_path: Path) -> None:
    """Asked in a process of its own: where the application is loaded, metrics go to a server's folder from then on."""
    code = "from config.wsgi import application as a; print(a.request_class.__module__)"
    environment = os.environ | {VARIABLE: str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == Request.__module__


@pytest.mark.parametrize("charset", ["latin-1", "utf-7", "cp500", "utf-16", "rot13", "hex", "undefined", "idna", "x"])
def test_the_address_is_utf_8_whatever_the_body_is_in(charset: str) -> None:
    made = request(f"x/y; charset={charset}", "search=Caf%C3%A9&a=a+AGI-")
    assert made.GET.dict() == {"search": "Café", "a": "a AGI-"}


@pytest.mark.parametrize("charset", ["utf-8", "hex"])
def test_a_charset_that_makes_no_text_is_as_none(charset: str) -> None:
    made = request(f"application/x-www-form-urlencoded; charset={charset}", body=b"name=Caf%C3%A9")
    assert made.POST["name"] == "Café"

"""Health when the store of files fails in the ways of its own library."""

import socket
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import override_settings

from config import storage
from core.stores import store_errors
from tests.core.receiver import receiving
from tests.kit.client import ApiClient
from tests.kit.listening import deaf_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def forbidding() -> Iterator[str]:
    """The address of a store that lets nobody in."""
    with receiving(lambda request: (403, {}, b"")) as store:
        yield store.url("")


KEYS = {"access_key": "any", "secret_key": "one"}


def storage_state(endpoint: str, **options: str) -> Any:
    """Return what `/health/ready` says of a store at this address."""
    config = import_module("botocore.config").Config(retries={"total_max_attempts": 1})
    known = {"bucket_name": "files", "endpoint_url": endpoint, "region_name": "none", "client_config": config}
    store = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**known, **options}}
    with override_settings(STORAGES={"default": store}):
        answer = ApiClient().get("/health/ready")
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    return answer.json()["components"]["storage"]


def check_down(state: Any) -> None:
    assert (state["status"], state["detail"]) == ("down", "The store of files can't be used.")


def test_a_store_that_is_away() -> None:
    with deaf_port() as port:
        check_down(storage_state(f"http://127.0.0.1:{port}", **KEYS))


def test_a_store_that_refuses_us(forbidding: str) -> None:
    check_down(storage_state(forbidding, **KEYS))


def test_a_store_without_credentials(forbidding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    check_down(storage_state(forbidding))


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A store that takes connections and says nothing, as the environment names it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"s3://files/a?region=none&endpoint=http://127.0.0.1:{listening.getsockname()[1]}"
        variables = {"STORAGE_URL": url, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "one"}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield listening


def came(listening: socket.socket) -> int:
    """Return how many connections wait to be accepted."""
    listening.setblocking(False)
    number = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return number
        number += 1


def test_a_silent_store_is_told_of_within_seconds(silent: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_READ_TIMEOUT", "600")
    with override_settings(STORAGES=storage.backends()):
        began = time.monotonic()
        answer = ApiClient().get("/health/ready")
        took = time.monotonic() - began
    assert answer.status_code == 503
    state = answer.json()["components"]["storage"]
    check_down(state)
    assert 1.9 < state["latency_ms"] / 1000 <= took < 60
    assert came(silent) == 1


def test_a_silent_store_holds_an_upload_no_longer_than_is_said(
    silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_READ_TIMEOUT", "1")
    monkeypatch.setenv("STORAGE_ATTEMPTS", "2")
    with override_settings(STORAGES=storage.backends()):
        began = time.monotonic()
        with pytest.raises(store_errors()):
            default_storage.save("name", ContentFile(b"content"))
        assert 1.9 < time.monotonic() - began < 60
    assert came(silent) >= 2

"""Downloads over HTTP: ranges, preconditions, and nothing that a browser would draw in our origin."""

from importlib import import_module
from typing import Any

import pytest
from django.core.files.storage import default_storage

from tests.agents.test_artifacts import ARTIFACTS, CONTENT, body, fetch, upload
from tests.core.bucket import refusal, serving
from tests.factories.agents.evidence import ArtifactFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient

ONCE = import_module("botocore.config").Config(retries={"total_max_attempts": 1})

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


@pytest.fixture
def made(teammate: Actor) -> dict[str, Any]:
    answer: dict[str, Any] = upload(teammate.by_key).json()
    return answer


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=990-", 990, 999),
        ("bytes=990-5000", 990, 999),
        ("bytes=-3", 997, 999),
        ("bytes=-5000", 0, 999),
        ("Bytes = 1 - 2", 1, 2),
    ],
)
@pytest.mark.parametrize("inline", [False, True])
def test_a_range(asked: str, first: int, last: int, inline: bool, teammate: Actor, made: dict[str, Any]) -> None:
    if inline:
        made = teammate.by_key.post(ARTIFACTS, {"name": "a", "text": CONTENT.decode()}).json()
    answer = fetch(teammate.by_key, made, range=asked)
    assert answer.status_code == 206
    assert body(answer) == CONTENT[first : last + 1]
    assert answer["Content-Range"] == f"bytes {first}-{last}/1000"
    assert answer["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(asked: str, teammate: Actor, made: dict[str, Any]) -> None:
    answer = fetch(teammate.by_key, made, range=asked)
    assert answer.status_code == 416
    assert answer["Content-Range"] == "bytes */1000"
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "asked", ["bytes=2-1", "bytes=-", "lines=0-1", "bytes=0-1,5-6", "nonsense", "bytes=٣-٤", f"bytes={'9' * 5000}-"]
)
def test_a_range_that_is_none_is_ignored(asked: str, teammate: Actor, made: dict[str, Any]) -> None:
    answer = fetch(teammate.by_key, made, range=asked)
    assert answer.status_code == 200
    assert body(answer) == CONTENT


def test_an_empty_content_has_no_range(teammate: Actor) -> None:
    made = upload(teammate.by_key, b"").json()
    assert fetch(teammate.by_key, made, range="bytes=0-").status_code == 416
    assert fetch(teammate.by_key, made, range="bytes=-1").status_code == 416


def test_preconditions(teammate: Actor, made: dict[str, Any]) -> None:
    tag, other = f'"{made["sha256"]}"', f'"{"0" * 64}"'
    first = fetch(teammate.by_key, made)
    assert (first["ETag"], first["Accept-Ranges"]) == (tag, "bytes")
    assert fetch(teammate.by_key, made, range="bytes=0-1", if_range=tag).status_code == 206
    assert fetch(teammate.by_key, made, range="bytes=0-1", if_range=other).status_code == 200
    assert fetch(teammate.by_key, made, range="bytes=0-1", if_range=f"W/{tag}").status_code == 200
    assert fetch(teammate.by_key, made, range="bytes=9999-", if_range=other).status_code == 200
    unchanged = fetch(teammate.by_key, made, if_none_match=f"{other}, {tag}")
    assert (unchanged.status_code, unchanged.content, unchanged["ETag"]) == (304, b"", tag)
    assert fetch(teammate.by_key, made, if_none_match=other).status_code == 200
    assert fetch(teammate.by_key, made, if_match=tag).status_code == 200
    refused = fetch(teammate.by_key, made, if_match=other)
    assert (refused.status_code, refused["Content-Type"]) == (412, "application/problem+json")


def test_a_head_request_tells_the_length_only(teammate: Actor, made: dict[str, Any]) -> None:
    answer = teammate.by_key.head(f"{ARTIFACTS}{made['id']}/download/", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer["Content-Length"], body(answer)) == (200, "1000", b"")


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript"])
def test_nothing_is_rendered_in_our_origin(content_type: str, teammate: Actor) -> None:
    made = upload(teammate.by_key, b"<script>alert(1)</script>", "evil.html", content_type=content_type).json()
    assert made["content_type"] == content_type
    answer = fetch(teammate.client, made)
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="evil.html"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("a.txt", 'attachment; filename="a.txt"'),
        ('a".txt', 'attachment; filename="a\\".txt"'),
        ("été.txt", "attachment; filename*=utf-8''%C3%A9t%C3%A9.txt"),
        ("../../etc/passwd", 'attachment; filename=".._.._etc_passwd"'),
        ("a\u2028b", "attachment; filename*=utf-8''a%E2%80%A8b"),
    ],
)
def test_the_name_travels_safely(name: str, disposition: str, teammate: Actor) -> None:
    artifact = ArtifactFactory(organization=teammate.organization, name=name)
    assert fetch(teammate.by_key, artifact.pk)["Content-Disposition"] == disposition


def test_a_download_takes_whatever_type_the_client_accepts(teammate: Actor, made: dict[str, Any]) -> None:
    assert fetch(teammate.by_key, made, accept="text/csv").status_code == 200


def test_a_viewer_downloads_and_a_customer_doesnt(viewer: Actor, customer: Actor, made: dict[str, Any]) -> None:
    assert body(fetch(viewer.by_key, made)) == CONTENT
    assert fetch(customer.by_key, made).status_code == 403
    assert fetch(ApiClient(), made).status_code == 401


def test_a_store_that_fails_is_an_outage(teammate: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as bucket:
        monkeypatch.setattr(default_storage, "_wrapped", bucket.storage(client_config=ONCE))
        made = upload(teammate.by_key).json()
        assert body(fetch(teammate.by_key, made)) == CONTENT
        stored = dict(bucket.files)
        bucket.fault = lambda method, name: refusal(500, "InternalError", "Not now.")
        for answer in (fetch(teammate.by_key, made), upload(teammate.by_key, content=b"Another")):
            assert (answer.status_code, answer.json()["type"]) == (503, "/api/problems/unavailable/")
            assert answer.json()["detail"] == "The store of files can't be used. Try again in a moment."
            assert answer["Retry-After"]
        bucket.fault = lambda method, name: None
        assert body(fetch(teammate.by_key, made)) == CONTENT
        assert bucket.files == stored

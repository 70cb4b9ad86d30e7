"""What a server does unasked: policy, frames, HTTPS, cookies, other origins, sizes."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings as project_settings
from django.test import Client

from core.middleware import JSON_POLICY
from tests.admin.pages import inline_code
from tests.kit.cast import Actor
from tests.kit.client import ApiClient

PRODUCTION = {
    "DEBUG": "0",
    "ALLOWED_HOSTS": "muster.example.org",
    "DATABASE_URL": "postgresql://muster@db.invalid/muster",
    "SECRET_KEY": "not-secret-only-for-checks-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
}
READ = """
import json
from config import settings
names = {names}
print(json.dumps({{name: getattr(settings, name) for name in names}}))
"""
ORIGIN = "https://app.example.org"


def in_production(*names: str, **variables: str) -> dict[str, Any]:
    """Return settings as a server has them."""
    environment = {"PATH": os.environ["PATH"], **PRODUCTION, **variables}
    command = [sys.executable, "-c", READ.format(names=names)]
    found = subprocess.run(
        command, cwd=project_settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True
    )
    return dict(json.loads(found.stdout))


@pytest.mark.parametrize(
    ("content_type", "body"), [("application/json", b"{}"), ("application/x-protobuf", b""), ("text/plain", b"any")]
)
def test_what_exporters_are_answered_may_load_nothing(content_type: str, body: bytes, owner: Actor) -> None:
    answer = owner.by_key.generic("POST", "/v1/traces", body, content_type)
    assert answer["Content-Type"] == (content_type if body != b"any" else "application/x-protobuf")
    assert answer["Content-Security-Policy"] == JSON_POLICY


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/admin/login/", 200),
        ("/admin/", 302),
        ("/", 302),
        ("/api/docs/", 200),
        ("/api/schema/", 200),
        ("/nothing/here", 404),
        ("/api/v1/nothing/", 404),
        ("/api/v1/tasks/", 401),
        ("/v1/traces", 405),
        ("/health/live", 200),
        ("/metrics", 401),
    ],
)
def test_every_answer_has_a_policy_and_no_frame(path: str, status: int, anonymous: ApiClient) -> None:
    answer = anonymous.get(path, headers={"Accept": "text/html" if "docs" in path else "*/*"})
    assert answer.status_code == status
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy or "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["X-Request-ID"]
    if answer["Content-Type"].startswith("text/html"):
        assert inline_code(answer.content.decode()) == []


def test_refusals_of_the_outer_layers_have_them_too(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["muster.example.org"]
    client = Client(raise_request_exception=False)
    strange = client.get("/admin/login/", headers={"Host": "evil.example"})
    assert strange.status_code == 400
    settings.SECURE_SSL_REDIRECT = True
    redirected = Client(headers={"Host": "muster.example.org"}).get("/admin/login/")
    assert redirected.status_code == 301
    for answer in (strange, redirected):
        assert "default-src" in answer["Content-Security-Policy"]
        assert answer["X-Request-ID"]


def test_in_production_https_is_insisted_on() -> None:
    assert in_production(
        "DEBUG",
        "SECURE_SSL_REDIRECT",
        "SECURE_HSTS_SECONDS",
        "SECURE_HSTS_INCLUDE_SUBDOMAINS",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "LOG_FORMAT",
    ) == {
        "DEBUG": False,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "LOG_FORMAT": "json",
    }


def test_hsts_is_sent_over_https(settings: Any, db: None) -> None:
    settings.SECURE_HSTS_SECONDS = 31_536_000
    answer = Client().get("/admin/login/", secure=True)
    assert answer["Strict-Transport-Security"].startswith("max-age=31536000; includeSubDomains")


def test_cookies_are_for_https_and_not_for_scripts(owner: Actor, settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    owner.user.set_password("a-long-enough-passphrase")
    owner.user.is_staff = True
    owner.user.save()
    answer = Client().post(
        "/admin/login/", {"username": owner.user.email, "password": "a-long-enough-passphrase"}, secure=True
    )
    assert answer.status_code == 302
    session = answer.cookies[project_settings.SESSION_COOKIE_NAME]
    assert (session["secure"], session["httponly"], session["samesite"]) == (True, True, "Lax")
    assert answer.cookies[project_settings.CSRF_COOKIE_NAME]["secure"] is True


# --- Other origins ---------------------------------------------------------------------------------


def preflight(client: Client, path: str, origin: str = ORIGIN) -> Any:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return client.options(path, headers={**headers, "Access-Control-Request-Headers": "authorization,idempotency-key"})


def test_other_origins_are_closed_by_default(owner: Actor) -> None:
    found = in_production("CORS_ALLOWED_ORIGINS", "CORS_ALLOW_CREDENTIALS", "MIDDLEWARE")
    assert (found["CORS_ALLOWED_ORIGINS"], found["CORS_ALLOW_CREDENTIALS"]) == ([], False)
    assert not any("cors" in name for name in found["MIDDLEWARE"])
    answers = [preflight(owner.by_key, "/api/v1/tasks/")]
    answers.append(owner.by_key.get("/api/v1/tasks/", headers={"Origin": ORIGIN}))
    for answer in answers:
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.fixture
def listed(settings: Any) -> None:
    """Settings as CORS_ALLOWED_ORIGINS makes them, which a subprocess shows."""
    found = in_production("CORS_ALLOWED_ORIGINS", "MIDDLEWARE", "INSTALLED_APPS", CORS_ALLOWED_ORIGINS=ORIGIN)
    settings.CORS_ALLOWED_ORIGINS = found["CORS_ALLOWED_ORIGINS"]
    settings.MIDDLEWARE = found["MIDDLEWARE"]
    assert "corsheaders" in found["INSTALLED_APPS"]


@pytest.mark.usefixtures("listed")
def test_a_listed_origin_may_ask_the_api_by_key(owner: Actor) -> None:
    client = ApiClient(key=owner.key.text)
    answer = preflight(client, "/api/v1/tasks/")
    assert answer["Access-Control-Allow-Origin"] == ORIGIN
    assert "idempotency-key" in answer["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer
    for _ in range(2):  # the short way, were it to answer, would lack the header
        answer = client.get("/api/v1/tasks/", headers={"Origin": ORIGIN})
        assert answer.status_code == 200
        assert answer["Access-Control-Allow-Origin"] == ORIGIN
        assert "X-Request-ID" in answer["Access-Control-Expose-Headers"]


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("path", "origin"), [("/api/v1/tasks/", "https://evil.example"), ("/admin/login/", ORIGIN), ("/metrics", ORIGIN)]
)
def test_nobody_else_may_and_nothing_else(path: str, origin: str, db: None) -> None:
    assert "Access-Control-Allow-Origin" not in preflight(Client(), path, origin)


# --- Sizes -----------------------------------------------------------------------------------------


def test_bodies_beyond_the_limit_are_refused(owner: Actor, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    body = {"name": "x" * 2_000, "task_type": "code"}
    for way in ({}, {"Cookie": "any=one"}):
        answer = owner.by_key.post("/api/v1/tasks/", body, headers=way)
        assert answer.status_code == 413
        assert answer.json()["type"] == "/api/problems/payload_too_large/"


def test_telemetry_beyond_the_limit_is_refused(owner: Actor, settings: Any) -> None:
    settings.TELEMETRY_MAX_BYTES = 1_000
    assert owner.by_key.post("/v1/traces", {"x": "y" * 2_000}).status_code in {400, 413}


def test_forms_beyond_the_limit_are_refused(owner: Actor, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    answer = Client(raise_request_exception=False).post("/admin/login/", {"username": "x" * 2_000, "password": "y"})
    assert answer.status_code in {400, 413}

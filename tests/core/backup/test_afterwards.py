"""What is to be done after a restore: as the command says it."""

import json
import re
from pathlib import Path

import pytest

from core.backup import Place, databases
from tests.core.backup.conftest import installed

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("backup")]


def test_the_two_roles_have_what_they_had_once_what_the_command_says_is_done(
    backup: Path, empty: Place, tmp_path: Path
) -> None:
    owner, serving = f"{empty.name}_owner", f"{empty.name}_serving"
    named = ["--owner", owner, "--serving", serving]
    restorer = installed(empty, tmp_path)
    as_owner = installed(Place({**empty.parameters, "user": owner}, empty.programs), tmp_path)
    with empty.beside("postgres").connect() as direct:
        direct.execute(f"CREATE ROLE {owner} LOGIN; CREATE ROLE {serving} LOGIN")
    try:
        said = restorer.succeed("restore", str(backup))
        steps = re.findall(r"`(?:manage\.py )?(\w+)`", said.partition("two roles: as the one that restored")[2])
        assert steps == ["roles", "migrate", "roles", "doctor"]

        assert "permission denied" in as_owner.manage("migrate", "--no-input").stderr, "Before the first of them."
        restorer.succeed("roles", *named)
        as_owner.succeed("migrate", "--no-input")
        as_owner.succeed("roles", *named)
        findings = json.loads(as_owner.manage("doctor", "--format", "json").stdout)["findings"]
        levels = {each["check"]: each["level"] for each in findings}
        made = ("extensions", "migrations", "tables", "columns", "indexes", "constraints", "functions", "triggers")
        assert {check: levels[check] for check in made} == dict.fromkeys(made, "ok")
    finally:
        databases.drop(empty)
        with empty.beside("postgres").connect() as direct:
            direct.execute(f"DROP ROLE {owner}, {serving}")

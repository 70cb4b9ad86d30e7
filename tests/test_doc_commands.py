"""Every command that README and docs show is run, as it stands there, or says on its page why not, or what runs it."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from standardwebhooks import Webhook

from config import env
from tests.commands.conftest import Scratch, scratch  # noqa: F401 (a fixture)
from tests.commands.test_migrations import run
from tests.factories.agents import TaskFactory, TemplateFactory
from tests.factories.catalog import OrderFactory
from tests.factories.knowledge import CollectionFactory
from tests.kit.cast import Actor
from tests.kit.pages import COMMANDS, Block, blocks
from tests.kit.server import serving
from tests.kit.waiting import PATIENCE
from tests.knowledge.files import pdf_file
from tests.test_docs import PAGES, README

ROOT = Path(settings.BASE_DIR)
ADDRESS = "http://127.0.0.1:8000"
PROGRAMS = ("curl", "uv", "pip", "docker", "cp", "echo", "export", "python", "import", "from", "CREATE", "SELECT")
ALL = [block for page in PAGES for block in blocks(page)]
RUN_HERE = [block for block in ALL if block.language in COMMANDS and block.elsewhere is None]


def of(language: str) -> list[Block]:
    found = [block for block in RUN_HERE if block.language == language]
    assert found
    return found


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_block_of_commands_says_that_it_is_one(block: Block) -> None:
    if block.language == "" and block.elsewhere is None:
        begins = {line.split(" ")[0] for line in block.text.splitlines()}
        assert begins & set(PROGRAMS) == set(), "Fence it as bash, python or sql: then it is run."
    assert block.language in {"", "diff", "mermaid", "json", *COMMANDS}


@pytest.mark.parametrize("block", [block for block in ALL if block.elsewhere], ids=str)
def test_what_runs_a_block_elsewhere_is_there(block: Block) -> None:
    assert block.elsewhere
    kind, _, rest = block.elsewhere.partition(" run: " if block.elsewhere.startswith("not") else " by ")
    if kind == "run":
        file = rest.partition(":")[0].split(" ")[0]
        assert (ROOT / file).is_file(), file
    else:
        assert len(rest) > 20, "Say why."


@pytest.mark.django_db(transaction=True)
def test_requests_and_commands_do_as_they_stand(owner: Actor, tmp_path: Path) -> None:
    task = TaskFactory(organization=owner.organization)
    for name in ("Second", "Third"):
        task.name = name
        task.save()
    task.refresh_from_db()
    assert task.row_version == 3, "As the page's If-Match has it."
    template = TemplateFactory(organization=owner.organization)
    variables = {
        "KEY": owner.key.text,
        "ORDER": str(OrderFactory(organization=owner.organization).pk),
        "TASK": str(task.pk),
        "TEMPLATE": str(template.pk),
        "COLLECTION": str(CollectionFactory(organization=owner.organization).pk),
        "HOME": str(tmp_path),
    }
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    (tmp_path / "contract.pdf").write_bytes(pdf_file("Both sides keep their word."))
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    with serving(tmp_path / "data", ALLOWED_HOSTS="127.0.0.1,localhost") as server:
        for block in of("bash"):
            command = block.text.replace(ADDRESS, server.url(""))
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=tmp_path,
                env={"PATH": os.environ["PATH"], **variables},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            assert done.returncode == 0, f"{block}: {done.stdout} {done.stderr}"
    task.refresh_from_db()
    assert task.priority == "high"
    assert len(list(tmp_path.glob("*.csv"))) == 1


def test_the_env_file_that_operators_write_configures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [block for block in of("bash") if "cp .env.example" in block.text]
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], cwd=tmp_path, check=True)
    written = dict(
        line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if line and line[0] != "#"
    )
    roles = {"MUSTER_OWNER_PASSWORD", "MUSTER_SERVING_PASSWORD"}
    assert set(written) == {"ALLOWED_HOSTS", "SECRET_KEY", "ENCRYPTION_KEYS", "DB_PASSWORD", *roles}
    # All that compose wants, which the comment above its services names too.
    compose = (ROOT / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", compose)) == set(written)
    assert [name for name in written if name not in compose.partition("\nname:")[0]] == []
    assert len({written[name] for name in roles | {"DB_PASSWORD"}}) == 3
    for name, value in written.items():
        monkeypatch.setenv(name, value)
        assert name in roles or getattr(env, name).get()


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_does_as_it_stands(block: Block) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = json.dumps({"type": "task.complete", "data": {"event": {}, "object": None}})
    now = datetime.now(UTC)
    signature = Webhook(secret).sign("msg_1", now, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    known = {"secret": secret, "body": body, "headers": headers}
    exec(compile(block.text, str(block), "exec"), known)
    assert known["message"]["type"] == "task.complete"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("block", of("sql"), ids=str)
def test_sql_does_as_it_stands(block: Block) -> None:
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename = 'knowledge_embedding'"
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as direct:
        before = set(direct.execute(indexes).fetchall())
        direct.execute(block.text)
        (made,) = set(direct.execute(indexes).fetchall()) - before
        direct.execute(f"DROP INDEX {made[0]}")


def test_what_alembic_s_commands_became_can_be_run(scratch: Scratch) -> None:  # noqa: F811 (the fixture)
    rows = [line for line in README.read_text().splitlines() if line.startswith("| `alembic") or "reachable?" in line]
    commands = [tuple(found.split()) for row in rows for found in re.findall(r"`uv run manage\.py ([^`]+)`", row)]
    assert len(commands) >= 10
    # At the end there is a database to look at again.
    run(scratch, *commands[:-1], ("migrate",), commands[-1])

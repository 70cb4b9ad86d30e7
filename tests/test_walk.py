"""A newcomer follows “Add a record” of docs/developers.md, word by word, in a copy of the project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from tests.commands.conftest import Scratch, scratch  # noqa: F401 (a fixture)
from tests.kit.pages import blocks, follow

ROOT = Path(settings.BASE_DIR)
# Other tests write to some of them meanwhile.
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".data", ".*_cache", ".hypothesis", "__pycache__", "staticfiles", "images", ".env"
)


def run(command: str, project: Path, variables: dict[str, str]) -> str:
    """Run a command in the copy, with this program's Python, and return what it printed."""
    line = command.removeprefix("uv run ")
    line = line.replace("manage.py", f"{sys.executable} manage.py").replace("pytest", f"{sys.executable} -m pytest -n0")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        line, shell=True, cwd=project, env={**kept, "PATH": path, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_add_a_record(scratch: Scratch, tmp_path: Path) -> None:  # noqa: F811 (the fixture)
    project = tmp_path / "muster"
    shutil.copytree(ROOT, project, ignore=LEFT_OUT)
    printed = []
    for block in blocks(ROOT / "docs" / "developers.md", "Add a record"):
        if block.language == "bash":
            printed += [run(command, project, scratch.variables) for command in block.text.splitlines()]
        else:
            follow(block, project)

    made = next((project / "catalog" / "migrations").glob("0002_supplier.py"))
    assert "CreateModel" in made.read_text()
    assert scratch.rows("SELECT name FROM django_migrations WHERE name = '0002_supplier'")
    assert "Supplier" in (project / "docs" / "entities.md").read_text()
    assert [line for line in printed if "reformatted" in line] == [], "The blocks aren't as ruff would have them."
    assert "passed" in printed[-1]
    assert "failed" not in printed[-1]

"""Programs of a project of their own: Muster's configuration, copied away from the developer's `.env`."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kit.waiting import PATIENCE

NOBODY = 65534
ROOT = Path(__file__).resolve().parent.parent.parent

MANAGE_WITHOUT_APPS = """
import contextlib, sys
from config.variables import ConfigurationError
sys.argv[0] = "manage.py"
with contextlib.suppress(ConfigurationError):  # manage.py shall tell of it
    from config import settings
    settings.INSTALLED_APPS = []
import manage
manage.main()
"""


@dataclass
class Project:
    """A copy of the project's configuration, the environment of its programs, and a command before them."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    @property
    def data_dir(self) -> Path:
        return Path(self.env.get("DATA_DIR", self.folder / ".data"))

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start Python with `arguments`, and `env` added to the environment."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, *arguments],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}",
                "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", ""),  # see tests.kit.bytecode
                **self.env,
                **env,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run Python with `arguments` to its end."""
        process = self.start(*arguments, **env)
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def manage(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a management command, without the apps: they have tests of their own, and take a second each."""
        return self.run("-c", MANAGE_WITHOUT_APPS, *arguments, **env)

    def setting(self, expression: str, **env: str) -> str:
        """What `expression` gives in the namespace of the settings."""
        result = self.run("-c", f"from config.settings import *\nprint({expression})", **env)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def refusal(self, **env: str) -> str:
        """The one line by which a start with `env` is refused."""
        result = self.manage("check", **env)
        assert result.returncode == 1
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        return line


def copy_project(folder: Path) -> Project:
    """Copy the configuration to `folder`, which is made."""
    shutil.copytree(ROOT / "config", folder / "config", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", folder)
    return Project(folder)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return copy_project(tmp_path / "project")


@pytest.fixture
def plain_project() -> Iterator[Project]:
    """A project of a plain user's, and programs that run as this user; root becomes `nobody` for it."""
    # Other users can't reach pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="muster-test-"))
    folder.chmod(0o755)
    project = copy_project(folder / "project")
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("there is no setpriv, by which root becomes another user")
        os.chown(project.folder, NOBODY, -1)
        # The capability is for reading Python itself, which may be installed in root's home.
        project.prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        project.prefix += ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    yield project
    shutil.rmtree(folder)

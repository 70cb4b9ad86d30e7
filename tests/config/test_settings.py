"""What the environment makes of the settings, and how a wrong one is refused."""

import json
import re
import stat
from pathlib import Path

import pytest

from config import env
from config.env import rendering
from config.variables import ConfigurationError, Variable, masked_url

from .conftest import ROOT, Project

URL = "postgresql://clerk:hunter2@db.example.org:6543/books"
TABLE = [variable for group in env.GROUPS.values() for variable in group]
PRODUCTION = {"DATABASE_URL": URL, "SECRET_KEY": "k" * 20 + "0123456789" * 4, "ALLOWED_HOSTS": "example.org"}


def test_the_example_tells_of_every_variable() -> None:
    assert (ROOT / ".env.example").read_text() == rendering.as_example(), "python -m config.env example > .env.example"


def test_every_variable_is_in_the_table() -> None:
    declared = [value.name for value in vars(env).values() if isinstance(value, Variable)]
    assert sorted(declared) == sorted(variable.name for variable in TABLE)


def test_the_example_s_values_are_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line[1:] for line in rendering.as_example().splitlines() if line.startswith("#") and "=" in line]
    values = dict(line.split("=", 1) for line in lines if line.split("=")[0].isupper())
    for variable in TABLE:
        monkeypatch.setenv(variable.name, values[variable.name])
        variable.get()


def test_the_documentation_s_table_has_a_row_each() -> None:
    for variable in TABLE:
        assert f"| `{variable.name}` | {variable.help} |" in rendering.as_markdown()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("DEBUG", "maybe"),
        ("DB_POOL_SIZE", "ten"),
        ("DB_POOL_SIZE", "0"),
        ("DB_MAX_OVERFLOW", "-1"),
        ("DB_POOL_TIMEOUT", "1.5"),
        ("DB_STATEMENT_TIMEOUT", "30s"),
        ("DB_ECHO", "loud"),
        ("DB_SSL_MODE", "on"),
        ("DATABASE_URL", "mysql://localhost/books"),
        ("DB_PORT", "65536"),
        ("LOG_LEVEL", "loud"),
        ("ALLOWED_HOSTS", "https://example.org"),
        ("CSRF_TRUSTED_ORIGINS", "example.org"),
        ("TRUSTED_PROXY_COUNT", "many"),
        ("SECURE_SSL_REDIRECT", "https"),
        ("SECURE_HSTS_SECONDS", "year"),
        ("LOG_FORMAT", "xml"),
        ("DB_SLOW_STATEMENT_MS", "-1"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("CORS_ALLOWED_ORIGINS", "https://app.example.org/path"),
    ],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, wrong: str) -> None:
    monkeypatch.setenv(name, wrong)
    (variable,) = (variable for variable in TABLE if variable.name == name)
    with pytest.raises(ConfigurationError, match=re.escape(f"{name}: got {wrong!r}; wants {variable.wants}")):
        variable.get()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("DB_POOL_SIZE", "ten"),
        ("DATABASE_URL", "postgresql://clerk@localhost:port/books"),
        ("DATABASE_URL", "postgresql://localhost/"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_line(project: Project, name: str, wrong: str) -> None:
    line = project.refusal(**{**PRODUCTION, name: wrong})
    assert line.startswith(f"{name}: got {wrong!r}; wants ")


def test_a_missing_secret_key_is_refused_in_production(project: Project) -> None:
    line = project.refusal(DATABASE_URL=URL)
    assert line.startswith("SECRET_KEY: got nothing; wants a secret random text of at least 32 characters")


def test_a_short_secret_key_is_refused_and_not_shown(project: Project) -> None:
    line = project.refusal(DATABASE_URL=URL, SECRET_KEY="hunter2")
    assert line.startswith("SECRET_KEY: got a text of 7 characters; wants")


def test_a_short_token_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", "hunter2")
    with pytest.raises(ConfigurationError, match="METRICS_TOKEN: got a text of 7 characters; wants"):
        env.METRICS_TOKEN.get()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://clerk:hunter2@db:port/books", "postgres://clerk:***@db:port/books"),
        ("postgres://clerk:hun@ter2/3@db/books", "postgres://clerk:***@db/books"),
        ("postgres://clerk:hunter2", "postgres://clerk:***"),
        ("postgres://clerk:hunter2/books", "postgres://clerk:***/books"),
        ("postgres://db:5432/books", "postgres://db:5432/books"),
        ("postgres://db/books?user=clerk&password=hunter2", "postgres://db/books?user=clerk&password=***"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked_url(url) == repr(shown)


def test_a_text_that_is_no_url_is_not_shown() -> None:
    assert masked_url("hunter2") == "a text of 7 characters"


def test_a_wrong_url_is_refused_without_its_password(project: Project) -> None:
    line = project.refusal(DATABASE_URL="postgresql://clerk:hunter2@db:port/books")
    assert line.startswith("DATABASE_URL: got 'postgresql://clerk:***@db:port/books'; wants postgresql://")


def test_two_forms_of_address_that_disagree_are_refused(project: Project) -> None:
    line = project.refusal(**PRODUCTION, DB_NAME="shop")
    assert line == "DB_NAME: got 'shop'; wants the same as in DATABASE_URL, or nothing"


def test_two_forms_of_address_that_agree_are_one(project: Project) -> None:
    names = "[DATABASES['default'][k] for k in ('HOST', 'PORT', 'USER', 'PASSWORD', 'NAME')]"
    expected = str(["db.example.org", "6543", "clerk", "hunter2", "books"])
    assert project.setting(names, **PRODUCTION, DB_NAME="books", DB_PORT="6543") == expected
    pieces = {"DB_HOST": "db.example.org", "DB_PORT": "6543", "DB_USER": "clerk", "DB_NAME": "books"}
    secret = {"SECRET_KEY": PRODUCTION["SECRET_KEY"], "DB_PASSWORD": "hunter2"}
    assert project.setting(names, **pieces, **secret) == expected


def test_a_piece_of_an_address_without_a_host_is_refused(project: Project) -> None:
    assert project.refusal(DB_USER="clerk").startswith("DB_HOST: got nothing; wants a host name")


def test_the_embedded_database_is_refused_in_production(project: Project) -> None:
    for chosen in ({"DEBUG": "0"}, {"EMBEDDED_POSTGRES": "0"}):
        line = project.refusal(**chosen)
        assert line.startswith("DATABASE_URL: got nothing; wants postgresql://")
        assert line.endswith("or EMBEDDED_POSTGRES=1 for the embedded database")


def test_the_embedded_database_beside_another_one_is_refused(project: Project) -> None:
    line = project.refusal(**PRODUCTION, EMBEDDED_POSTGRES="1")
    assert line == "EMBEDDED_POSTGRES: got '1'; wants 0 or nothing while DATABASE_URL names a database"


def test_which_database_and_whether_debug(project: Project) -> None:
    expression = "(DATABASES['default']['ENGINE'].split('.')[1], DEBUG)"
    assert project.setting(expression) == "('embedded_postgres', True)"
    assert project.setting(expression, EMBEDDED_POSTGRES="1") == "('embedded_postgres', False)"
    assert project.setting(expression, EMBEDDED_POSTGRES="1", DEBUG="1") == "('embedded_postgres', True)"
    assert project.setting(expression, **PRODUCTION) == "('postgresql', False)"
    assert project.setting(expression, **PRODUCTION, DEBUG="1") == "('postgresql', True)"


def test_the_connection(project: Project) -> None:
    options = json.loads(
        project.setting(
            "__import__('json').dumps(DATABASES['default']['OPTIONS'])",
            DATABASE_URL=f"{URL}?sslmode=require&options=-c%20work_mem%3D8MB",
            SECRET_KEY=PRODUCTION["SECRET_KEY"],
            DB_POOL_SIZE="3",
            DB_MAX_OVERFLOW="4",
            DB_POOL_TIMEOUT="5",
            DB_CONNECT_TIMEOUT="6",
            DB_STATEMENT_TIMEOUT="7000",
        )
    )
    assert options == {
        "application_name": "muster -c",
        "connect_timeout": 6,
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": "25000",
        "options": "-c jit=off -c statement_timeout=7000 -c work_mem=8MB",
        "prepare_threshold": 5,
        "pool": {"min_size": 3, "max_size": 7, "timeout": 5},
        "sslmode": "require",
    }


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import sys; sys.argv = ['manage.py', 'migrate']", "muster migrate"),
        ("import config.wsgi", "muster web"),
        ("import config.asgi", "muster web"),
        ("import pytest", "muster pytest"),
    ],
)
def test_the_connection_names_its_program(project: Project, code: str, name: str) -> None:
    # Importing the application would load the apps; that it is imported is all that counts.
    code = code.replace("import config.", "import sys; sys.modules['config.").replace("sgi", "sgi'] = sys", 1)
    program = f"{code}\nfrom config.settings import *\nprint(DATABASES['default']['OPTIONS']['application_name'])"
    assert project.run("-c", program).stdout.strip() == name


def test_migrating_has_no_time_limit(project: Project) -> None:
    program = (
        "import sys; sys.argv = ['manage.py', 'migrate']\n"
        "from config.settings import *\nprint(DATABASES['default']['OPTIONS']['options'])"
    )
    assert "statement_timeout=0" in project.run("-c", program, DB_STATEMENT_TIMEOUT="5").stdout


def test_the_environment_wins_over_the_file(project: Project) -> None:
    (project.folder / ".env").write_text("DB_POOL_SIZE=11\nDB_MAX_OVERFLOW=12\n")
    pool = "[DATABASES['default']['OPTIONS']['pool'][k] for k in ('min_size', 'max_size')]"
    assert project.setting(pool) == "[11, 23]"
    assert project.setting(pool, DB_POOL_SIZE="1") == "[1, 13]"


def test_a_wrong_value_in_the_file_is_refused(project: Project) -> None:
    (project.folder / ".env").write_text("DB_POOL_SIZE=ten\n")
    assert project.refusal().startswith("DB_POOL_SIZE: got 'ten'; wants a whole number")


def test_the_secret_key_is_made_once_and_for_its_owner_only(project: Project) -> None:
    first = project.setting("SECRET_KEY")
    assert len(first) > 50
    assert project.setting("SECRET_KEY") == first
    assert stat.S_IMODE((project.data_dir / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in project.data_dir.iterdir()] == ["secret_key"]


@pytest.mark.parametrize("secret", ["", PRODUCTION["SECRET_KEY"]])
def test_a_data_folder_that_cannot_be_written(project: Project, tmp_path: Path, secret: str) -> None:
    # A file in its place stops root too, whom permissions don't.
    (tmp_path / "taken").touch()
    result = project.manage("dbshell", DATA_DIR=str(tmp_path / "taken" / "data"), SECRET_KEY=secret)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"DATA_DIR: got '{tmp_path}/taken/data' (not a directory); wants a folder that this")


def test_a_data_folder_of_somebody_else(plain_project: Project) -> None:
    locked = plain_project.folder.parent / "locked"
    locked.mkdir(mode=0o555)
    line = plain_project.refusal(DATA_DIR=str(locked / "data"))
    assert f"{locked}/data' (permission denied); wants a folder that this user may write" in line


def test_an_unreachable_database_is_told_in_one_line(project: Project) -> None:
    env = {"DATABASE_URL": "postgresql://clerk:hunter2@127.0.0.1:1/books", "SECRET_KEY": PRODUCTION["SECRET_KEY"]}
    result = project.manage("showmigrations", "--skip-checks", **env)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("The database 127.0.0.1:1/books as clerk can't be reached (connection failed")
    assert "Connection refused" in line
    assert "hunter2" not in line
    assert "Traceback" in project.manage("showmigrations", "--skip-checks", "--traceback", **env).stderr


def test_help_starts_nothing(project: Project) -> None:
    result = project.run("manage.py", "--help")
    assert result.returncode == 0
    assert "Available subcommands" in result.stdout
    assert not (project.data_dir / "postgres").exists()


def test_production_passes_django_s_own_check(project: Project) -> None:
    result = project.run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert result.returncode == 0, result.stderr

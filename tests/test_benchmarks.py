"""What measures fails where what it measures does."""

import signal
import subprocess
import sys

import pytest

from tests.benchmarks import load, outages, serving
from tests.core.receiver import receiving
from tests.kit.server import database_url


def test_no_figures_come_of_requests_that_fail() -> None:
    with receiving(lambda request: (500, {}, b"")) as failing, pytest.raises(AssertionError, match="500"):
        load.measure(failing.port, "key", ["/"], 0.1)


@pytest.mark.django_db
def test_an_acknowledged_task_that_is_missing_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    told = outages.Told(acknowledged={"lost": 0.0})
    with pytest.raises(SystemExit) as end:
        outages.check(told, database_url(), clients=1)
    assert end.value.code == 1
    assert "missing 1   doubled 0" in capsys.readouterr().out


def test_a_server_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "STOP_SECONDS", 0.2)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    server = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert server.stdout
    with server.stdout as output:
        output.readline()  # it ignores the signal from now on
    with pytest.raises(subprocess.TimeoutExpired):
        serving.stop(server)
    assert server.returncode == -signal.SIGKILL

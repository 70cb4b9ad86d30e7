"""A server as production has it, and what its processes and PostgreSQL's consume."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.processes import family, kill_family

WORKERS, THREADS = 2, 3
START_SECONDS = 180  # beside much other work
STOP_SECONDS = 30
ADDRESS = "config.wsgi:application"


@contextmanager
def served(threads: int = THREADS) -> Iterator[tuple[int, int]]:
    """Serve the project, and give the port and the process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(WORKERS), "--blocking-threads", str(threads), "--no-log", ADDRESS]
    server = subprocess.Popen(command)
    try:
        wait_for(port)
        yield port, server.pid
    finally:
        stop(server)


def stop(server: subprocess.Popen[bytes]) -> None:
    """End a server; one that doesn't in time is killed with all below it, and TimeoutExpired raised."""
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        kill_family(server)
        raise


def wait_for(port: int) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("The server didn't start.")


def postgres(data: Path) -> list[int]:
    """Return the processes of the server whose data are in the folder."""
    return family(int((data / "postmaster.pid").read_text().split()[0]))


def cpu_seconds(processes: list[int]) -> float:
    """Return what the processes, and those of them that ended, have used."""
    ticks = 0
    for process in processes:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(process: int) -> int:
    """Return the memory of a process that isn't shared."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Private_"))

"""Processes of this machine. Each may end while it is looked at: then it is none."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path


def command_line(process: int) -> str:
    """Return how a process was called, its arguments parted by spaces; empty where it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def state(process: int) -> str:
    """Return what a process does, as Linux says it: T is stopped, Z ended; empty where it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def has_ended(process: int) -> bool:
    """Tell whether a process has ended, be it that nobody has taken note."""
    return state(process) in ("", "Z")


def children(process: int) -> list[int]:
    """Return the processes that the main thread of a process has started, oldest first."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def web_workers(server: int) -> list[int]:
    """Return the processes that serve, below the web server's own."""
    return [child for child in children(server) if "granian" in command_line(child)]


def family(root: int) -> list[int]:
    """Return a process and all below it."""
    found, parents = [root], {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def send(processes: list[int], number: signal.Signals) -> None:
    """Send a signal to those that there still are."""
    for process in processes:
        with suppress(ProcessLookupError):  # it went with another
            os.kill(process, number)


def kill_family(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all below it, which else would go on without it. It may have ended."""
    if process.poll() is None:
        send(family(process.pid), signal.SIGKILL)
        process.wait()

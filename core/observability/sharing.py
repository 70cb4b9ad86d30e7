"""Where the processes of one server keep their metrics together, so that each of them can tell of all.

Nothing here may import `prometheus_client`, which looks for the folder when it is imported.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = f"muster-metrics-{os.geteuid()}-"
NAME = re.compile(re.escape(PREFIX) + r"(\d+)-(\d+)")


def share_metrics() -> Path:
    """Name the folder of this server's metrics to `prometheus_client`, make it, and remove those of dead servers.

    The server is the parent of this process, as granian is of its workers; a parent that starts anew has a folder
    anew, and so counts from zero. A folder that the environment names is used as it is.

    Raises:
        PermissionError: the folder is somebody else's.
    """
    if given := os.environ.get(VARIABLE):
        return Path(given)
    parent = os.getppid()
    folder = Path(tempfile.gettempdir(), f"{PREFIX}{parent}-{started(parent)}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} isn't ours.")
    remove_leavings(folder.parent)
    os.environ[VARIABLE] = str(folder)
    return folder


def remove_leavings(folder: Path) -> None:
    """Remove the metrics of servers that don't run any more."""
    for each in folder.glob(f"{PREFIX}*"):
        named = NAME.fullmatch(each.name)
        if named and started(int(named[1])) != int(named[2]):
            shutil.rmtree(each, ignore_errors=True)  # another process of ours may be quicker


def started(process: int) -> int:
    """Return when a process started, in clock ticks of the machine; 0 where the system doesn't tell; -1: it is gone."""
    try:
        # The name, which stands in parentheses, may hold anything.
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):  # the latter, where it goes between opening and reading
        return 0 if not Path("/proc/self/stat").exists() and is_running(process) else -1


def is_running(process: int) -> bool:
    """Tell whether there is such a process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Waiting for what other processes and threads do."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 180.0
"""Seconds until what must happen counts as never happening: a machine may be slow, and busy with much else."""


def eventually(happens: Callable[[], Any], what: str) -> Any:
    """Wait until it happens, and return what it returned.

    Raises:
        TimeoutError: it didn't.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := happens():
            return found
        time.sleep(0.02)
    raise TimeoutError(what)

"""Compiled modules, kept for the processes that tests start, where the environment forbids Python to keep any."""

import os
import sys
from pathlib import Path


def keep(folder: Path) -> None:
    """Let this process and those that it starts keep what they compile below ``folder``, if they may nowhere else.

    Images often set ``PYTHONDONTWRITEBYTECODE``. Each of the many programs that tests start would then compile Django,
    REST framework and Muster for itself, which takes it two seconds of three.
    """
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode, sys.pycache_prefix = False, str(folder)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder)

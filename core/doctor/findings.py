"""What the doctor says: findings, and how bad each is."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is. Only a problem makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Args:
        level: how bad it is.
        message: what is so, in one line.
        remedy: how to mend it, with the command where there is one; empty when nothing is to be mended.
    """

    level: Level
    message: str
    remedy: str = ""


def ok(message: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(Level.OK, message)


def warning(message: str, remedy: str) -> Finding:
    """Return the finding that something may do harm, and its remedy."""
    return Finding(Level.WARNING, message, remedy)


def problem(message: str, remedy: str) -> Finding:
    """Return the finding that something is broken, and its remedy."""
    return Finding(Level.PROBLEM, message, remedy)

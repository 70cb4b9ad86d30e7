"""Times to wait, in words."""

from datetime import timedelta


def told(wait: timedelta) -> str:
    """Return how long to wait: in seconds, or, where it is longer, in minutes, rounded up."""
    seconds = int(wait.total_seconds()) + 1
    if seconds < 90:
        return "a second" if seconds == 1 else f"{seconds} seconds"
    return f"{-(-seconds // 60)} minutes"

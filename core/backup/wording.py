"""How the commands put sizes and errors."""


def megabytes(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e6:,.1f} MB"


def one_line(error: Exception) -> str:
    """Return what PostgreSQL or its driver says, in one line."""
    return " ".join(str(error).split())

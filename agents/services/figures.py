"""Times and money as people read them, the same on every page."""

from decimal import Decimal

MINUTE, HOUR = 60, 3_600


def told(seconds: float, *, clock: bool = False) -> str:
    """Return a length of time: to three digits below a minute, then as minutes and seconds, or with hours before them.

    Args:
        seconds: how long it took.
        clock: minutes and seconds below a minute too, as the marks of an axis want it that goes beyond.
    """
    if clock or round(seconds, 1) >= MINUTE:
        minutes, left = divmod(round(seconds), MINUTE)
        hours, minutes = divmod(minutes, HOUR // MINUTE)
        return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
    if seconds >= 0.9995:
        return f"{seconds:.3g} s"
    if seconds >= 0.0009995:
        return f"{seconds * 1_000:.3g} ms"
    return f"{seconds * 1_000_000:.0f} µs"


def dollars(amount: Decimal | str) -> str:
    """Return an amount of US dollars: with two to four decimals, or three digits of what is too small for these."""
    exact = Decimal(amount)
    # ``adjusted`` is where the first digit stands: -6 for 0.00000154.
    places = 2 if not exact else min(max(4, 2 - exact.adjusted()), 10)
    whole, _, decimals = f"{exact:,.{places}f}".partition(".")
    return f"${whole}.{decimals.rstrip('0'):0<2}"

"""How times and money are told."""

import pytest

from agents.services.figures import dollars, told


@pytest.mark.parametrize(
    ("seconds", "text", "on_a_clock"),
    [
        (0, "0 µs", "0:00"),
        (0.0005, "500 µs", "0:00"),
        (0.0009996, "1 ms", "0:00"),
        (0.9994, "999 ms", "0:01"),
        (0.9996, "1 s", "0:01"),
        (12.345, "12.3 s", "0:12"),
        (59.94, "59.9 s", "1:00"),
        (59.96, "1:00", "1:00"),
        (100, "1:40", "1:40"),
        (500, "8:20", "8:20"),
        (3_599.4, "59:59", "59:59"),
        (3_599.6, "1:00:00", "1:00:00"),
        (90_061, "25:01:01", "25:01:01"),
    ],
)
def test_a_time(seconds: float, text: str, on_a_clock: str) -> None:
    assert (told(seconds), told(seconds, clock=True)) == (text, on_a_clock)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("0.0000000001", "$0.0000000001"),
        ("0.0000015400", "$0.00000154"),
        ("0.0035000000", "$0.0035"),
        ("0.0123456", "$0.0123"),
        ("0.0099999", "$0.01"),
        ("0.5", "$0.50"),
        ("1.3362", "$1.3362"),
        ("12345.6", "$12,345.60"),
        ("-0.5", "$-0.50"),
    ],
)
def test_an_amount(amount: str, text: str) -> None:
    assert dollars(amount) == text

"""What tests of core share."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from tests.core.receiver import Receiver, receiving


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.OUTBOUND_ALLOW = [ip_network("127.0.0.0/8")]
    with receiving() as listening:
        yield listening

"""What tests of knowledge share."""

from collections.abc import Iterator
from typing import Any

import pytest

from knowledge.embedders import embedder
from tests.knowledge.stand_in import MODEL, Server


@pytest.fixture
def server(settings: Any) -> Iterator[Server]:
    """A stand-in for an embeddings server, whose model collections may have."""
    server = Server()
    settings.EMBEDDING_API_URL = server.url
    settings.EMBEDDING_MODELS = [*settings.EMBEDDING_MODELS, MODEL]
    embedder.cache_clear()
    yield server
    embedder.cache_clear()
    server.http.shutdown()
    server.http.server_close()

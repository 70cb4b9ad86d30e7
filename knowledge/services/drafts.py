"""Drafts: the vectors made so far of a document that is processed, kept with its version until all are there.

Search sees none of it. A vector follows from the model and the passage alone, so a draft counts for whoever splits the
version into the very same passages for the same models; for anybody else it is worth nothing, and begun anew.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from knowledge.embedders import Vectors, embedder
from knowledge.models import DocumentVersion

NUMBERS = np.dtype("<f2")  # as exact as they are stored with the chunks
KEY_BYTES = 32


class Draft:
    """Vectors of the first passages of a version, by each of some models.

    Args:
        version: the id of the version.
        models: the models, in their order.
        passages: all passages of the version.

    Raises:
        EmbeddingError: a model is unknown here.
    """

    def __init__(self, version: UUID, models: Sequence[str], passages: Iterable[str]) -> None:
        self._version = version
        self._dimensions = {model: embedder(model).dimensions for model in models}
        self._width = sum(self._dimensions.values())
        self._key = _key(self._dimensions, passages)
        stored = DocumentVersion.objects.filter(pk=version).values_list("draft", flat=True).first()
        self.is_stored = stored is not None
        self._rows = [self._read(stored)]
        self.count = len(self._rows[0])

    def add(self, vectors: Mapping[str, Vectors]) -> None:
        """Take the vectors of the next passages, by model."""
        rows = np.hstack([vectors[model] for model in self._dimensions]).astype(NUMBERS)
        self._rows.append(rows)
        self.count += len(rows)

    def store(self) -> None:
        """Write it to the version."""
        data = self._key + np.concatenate(self._rows).tobytes()
        DocumentVersion.objects.filter(pk=self._version).update(draft=data)
        self.is_stored = True

    def drop(self) -> None:
        """Remove it from the version."""
        if self.is_stored:
            DocumentVersion.objects.filter(pk=self._version).update(draft=None)

    def vectors(self) -> dict[str, Vectors]:
        """Return the vectors by model."""
        rows = np.concatenate(self._rows).astype(np.float32)
        ends = np.cumsum(list(self._dimensions.values()))[:-1]
        return dict(zip(self._dimensions, np.split(rows, ends, axis=1), strict=True))

    def _read(self, stored: Any) -> NDArray[np.float16]:
        data = bytes(stored or b"")
        if not data.startswith(self._key):
            return np.empty((0, self._width), NUMBERS)
        return np.frombuffer(data, NUMBERS, offset=KEY_BYTES).reshape(-1, self._width)


def _key(dimensions: Mapping[str, int], passages: Iterable[str]) -> bytes:
    """Return the digest of what the vectors follow from."""
    digest = hashlib.sha256(repr(list(dimensions.items())).encode())
    for passage in passages:
        digest.update(hashlib.sha256(passage.encode()).digest())
    return digest.digest()

"""What every embedder is: something that turns texts into vectors of one length."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class EmbeddingError(Exception):
    """The embedder refuses the texts, or answers nonsense: trying again won't help. The message is for people."""


class EmbedderUnavailable(EmbeddingError):  # noqa: N818 (what it is, rather than that it is an error)
    """The embedder can't be reached or has no time now: trying again later may help."""


class Embedder(ABC):
    """Turns texts into vectors of unit length.

    Queries and passages go by separate methods, since many models want them marked as what they are.

    ``model`` is the name under which the vectors are kept, ``dimensions`` their length, and ``max_tokens`` how much of
    a passage the model reads: what goes beyond isn't part of the vector.
    """

    model: str
    dimensions: int
    max_tokens: int

    @abstractmethod
    def count_tokens(self, text: str) -> int:
        """Return how many of the model's tokens the text is, without those that mark its begin and end."""

    @abstractmethod
    def _embed(self, texts: Sequence[str], *, query: bool) -> Vectors:
        """Return a row for each text, in their order; of any length."""

    def embed_query(self, text: str) -> Vectors:
        """Return the vector of a question.

        Raises:
            EmbeddingError: the text has no vector.
            EmbedderUnavailable: the embedder can't be reached.
        """
        return self._checked([text], self._embed([text], query=True))[0]

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of passages, a row each.

        Raises:
            EmbeddingError: one of the texts has no vector.
            EmbedderUnavailable: the embedder can't be reached.
        """
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        return self._checked(texts, self._embed(texts, query=False))

    def _checked(self, texts: Sequence[str], vectors: Vectors) -> Vectors:
        """Return the vectors at unit length. A zero vector is refused: it is as near to anything as to nothing."""
        if vectors.shape != (len(texts), self.dimensions):
            raise EmbeddingError(
                f"{self.model} answered an array of shape {vectors.shape} to {len(texts)} texts; "
                f"wanted {self.dimensions} dimensions each."
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        wrong = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] < np.finfo(np.float32).tiny))
        if wrong.size:
            raise EmbeddingError(f"{self.model} has no vector for the text {texts[wrong[0]][:60]!r}.")
        return np.asarray(vectors / lengths, np.float32)

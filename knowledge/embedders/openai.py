"""Embedders behind an HTTP API as OpenAI's: ``POST <base URL>/embeddings``. Many servers speak it."""

import base64
import json
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import urllib3

from knowledge.embedders.base import Embedder, EmbedderUnavailable, EmbeddingError, Vectors

logger = logging.getLogger(__name__)

BUSY = (408, 409, 425, 429, 500, 502, 503, 504)
# What the server answers to a wrong setting, and which that is: no fault of the texts.
MISSET = {
    401: "EMBEDDING_API_KEY",
    403: "EMBEDDING_API_KEY",
    404: "EMBEDDING_API_URL, and the model's name in EMBEDDING_MODELS",
}
BACKOFF = 0.5  # seconds before the second retry; doubled for each further one
# How often a busy server is asked again, and the longest wait between in seconds, whatever Retry-After says: a job has
# some time, and is tried again anyway; somebody who searches has none.
PASSAGE_RETRIES, PASSAGE_WAIT = 2, 30
QUERY_RETRIES, QUERY_WAIT = 1, 2
BYTES_A_TOKEN = 4  # of English text, roughly: no server tells of its tokenizer


class OpenAIEmbedder(Embedder):
    """A model behind an OpenAI-compatible API.

    A server that is busy or away is asked again, after as long as it says (Retry-After), or ever longer. One that
    refuses the key or knows no such address isn't, but counts as unavailable too, until the setting is mended.

    Args:
        name: the name to keep vectors under.
        served_name: the model's name in the API.
        dimensions: the length of the model's vectors.
        url: the API's base, such as ``https://api.openai.com/v1``.
        key: what to send as bearer token; empty: nothing.
        batch: how many texts a request may hold.
        timeout: seconds to wait for an answer.
        max_tokens: how much of a text the model reads.
        backoff: seconds before the second retry.
    """

    def __init__(
        self,
        name: str,
        *,
        served_name: str,
        dimensions: int,
        url: str,
        key: str,
        batch: int,
        timeout: float,
        max_tokens: int = 512,
        backoff: float = BACKOFF,
    ) -> None:
        self.model = name
        self.dimensions = dimensions
        self.max_tokens = max_tokens
        self.served_name = served_name
        self.address = f"{url.rstrip('/')}/embeddings"
        self.batch = batch
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self.pool = urllib3.PoolManager(headers=headers, timeout=urllib3.Timeout(timeout))
        self.passage_retries = _retries(PASSAGE_RETRIES, PASSAGE_WAIT, backoff)
        self.query_retries = _retries(QUERY_RETRIES, QUERY_WAIT, backoff)

    def count_tokens(self, text: str) -> int:
        """Return about how many tokens the text is, by its bytes: which tokenizer a server has can't be known."""
        return -(-len(text.encode()) // BYTES_A_TOKEN)

    def _embed(self, texts: Sequence[str], *, query: bool) -> Vectors:
        retries = self.query_retries if query else self.passage_retries
        batches = [texts[start : start + self.batch] for start in range(0, len(texts), self.batch)]
        return np.concatenate([self._ask(batch, retries) for batch in batches])

    def _ask(self, texts: Sequence[str], retries: urllib3.Retry) -> Vectors:
        # What the model wouldn't read anyway is cut off: servers refuse texts that are too long.
        most = self.max_tokens * BYTES_A_TOKEN
        cut = [text.encode()[:most].decode(errors="ignore") for text in texts]
        body = json.dumps({"model": self.served_name, "input": cut, "encoding_format": "float"})
        try:
            answer = self.pool.request("POST", self.address, body=body, retries=retries)
        except urllib3.exceptions.HTTPError as error:
            raise EmbedderUnavailable(f"The server of {self.model} can't be reached: {_reason(error)}.") from error
        if answer.status in BUSY:
            raise EmbedderUnavailable(f"The server of {self.model} is busy: HTTP {answer.status}.")
        if answer.status in MISSET:
            # Without what the server says, which may repeat the key.
            reason = f"The server of {self.model} refuses: HTTP {answer.status}. Look at {MISSET[answer.status]}."
            logger.error(reason)
            raise EmbedderUnavailable(reason)
        if answer.status != 200:
            said = answer.data[:300].decode(errors="replace")
            raise EmbeddingError(f"The server of {self.model} refused: HTTP {answer.status}: {said}")
        return self._vectors(answer.data, len(texts))

    def _vectors(self, body: bytes, count: int) -> Vectors:
        try:
            rows = sorted(json.loads(body)["data"], key=lambda row: row["index"])
            if [row["index"] for row in rows] != list(range(count)):
                raise EmbeddingError(f"The server of {self.model} answered {len(rows)} vectors to {count} texts.")
            vectors = np.array([_vector(row["embedding"]) for row in rows], np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddingError(f"The server of {self.model} answered what is no list of vectors.") from error
        return vectors


def longest_request(timeout: float) -> float:
    """Return after how many seconds a request for passages is given up at the latest."""
    return (PASSAGE_RETRIES + 1) * timeout + PASSAGE_RETRIES * PASSAGE_WAIT


def _retries(times: int, longest: int, backoff: float) -> urllib3.Retry:
    return urllib3.Retry(
        times,
        redirect=0,
        allowed_methods=None,  # asking again for a vector changes nothing, although it is a POST
        status_forcelist=BUSY,
        backoff_factor=backoff,
        backoff_jitter=backoff,
        backoff_max=longest,
        retry_after_max=longest,
        raise_on_status=False,
    )


def _vector(embedding: Any) -> Any:
    """Return the numbers: some servers answer in base64 whatever they are asked for."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    return embedding


def _reason(error: Exception) -> str:
    """Return what went wrong, without the address, which may hold a password."""
    reason = getattr(error, "reason", None) or error
    return type(reason).__name__

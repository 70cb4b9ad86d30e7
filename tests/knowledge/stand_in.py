"""A stand-in for an OpenAI-compatible embeddings server, on this machine."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.kit.listening import Listener

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, str], Any]]

MODEL = "openai:small@2"


def right(body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
    """Answer [length, 1] for each text, in an order that isn't theirs."""
    rows = [{"index": index, "embedding": [len(text), 1]} for index, text in enumerate(body["input"])]
    return 200, {}, {"data": rows[::-1]}


def busy(status: int = 429, **headers: str) -> Answer:
    return lambda body: (status, {name.replace("_", "-"): value for name, value in headers.items()}, "busy")


def answering(status: int, content: Any) -> Answer:
    return lambda body: (status, {}, content)


class Server:
    """It notes requests, and answers what ``answers`` says, or else rightly."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.times: list[float] = []
        self.answers: list[Answer] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.times.append(time.monotonic())
                outer.requests.append(body)
                outer.keys.append(self.headers["Authorization"])
                answer = outer.answers.pop(0) if outer.answers else right
                status, headers, content = answer(body) if self.path == "/v1/embeddings" else (404, {}, "")
                text = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: Any) -> None: ...

        self.http = Listener(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"

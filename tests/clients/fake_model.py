"""A model server that speaks OpenAI's two protocols, chat completions and responses, from a script.

It plays one side of one conversation: asked about an order, it calls the tool ``look_up_order``; given the tool's
result, it answers. What it does instead is chosen by the base address: ``/rate-limited/v1`` refuses every call with
429, ``/unknown-order/v1`` asks for an order that the tool doesn't have. It keeps no state, so any number of clients
may talk to it at once.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from threading import Thread
from typing import Any

from tests.kit.listening import Listener

MODEL = "gpt-5-mini"
SERVED_MODEL = "gpt-5-mini-2025-08-07"
TOOL = "look_up_order"
KNOWN_ORDER = {"order_id": "1042"}
UNKNOWN_ORDER = {"order_id": "9999"}
ANSWER = "Order 1042 was shipped on Monday and arrives tomorrow."
APOLOGY = "I can't find that order."
CALL_ID = "call_1"
RATE_LIMIT_MESSAGE = "Rate limit reached for gpt-5-mini"
CREATED = 1_760_000_000


@dataclass(frozen=True)
class Usage:
    """Tokens of one call, as providers count them: cached ones are among the input, reasoning among the output."""

    input: int
    cached: int
    output: int
    reasoning: int

    def as_chat_completion(self) -> dict[str, Any]:
        """Return the usage as chat completions report it."""
        return {
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input + self.output,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning, "audio_tokens": 0},
        }

    def as_response(self) -> dict[str, Any]:
        """Return the usage as the responses API reports it."""
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        }


ASKING_USAGE = Usage(input=1200, cached=1024, output=145, reasoning=128)
ANSWERING_USAGE = Usage(input=1410, cached=1152, output=83, reasoning=64)


@contextmanager
def fake_model() -> Iterator[str]:
    """Serve on loopback while the block runs; gives the server's address, to which ``/v1`` is added."""
    server = Listener(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, name="fake-model")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers one request from the script."""

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        mood, _, method = self.path.strip("/").rpartition("v1/")
        turns = {"chat/completions": chat_completion, "responses": response}
        if mood not in {"", "unknown-order/", "rate-limited/"} or method not in turns:
            self.answer(404, {"error": {"message": f"No {self.path} here", "type": "invalid_request_error"}})
        elif mood == "rate-limited/":
            error = {"message": RATE_LIMIT_MESSAGE, "type": "tokens", "param": None, "code": "rate_limit_exceeded"}
            self.answer(429, {"error": error})
        elif (request := json.loads(content)).get("stream"):
            self.answer(400, {"error": {"message": "Streams aren't in the script", "type": "invalid_request_error"}})
        else:
            self.answer(200, turns[method](request, known=not mood))

    def answer(self, status: int, body: dict[str, Any]) -> None:
        """Send the body; a refusal asks OpenAI's clients not to try again, which would only cost the tests time."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("x-should-retry", "false")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Say nothing: the tests look at what the clients report."""


def chat_completion(request: dict[str, Any], *, known: bool) -> dict[str, Any]:
    """Return the next turn, as a chat completion."""
    answered = any(message["role"] == "tool" for message in request["messages"])
    if answered:
        message = {"role": "assistant", "content": ANSWER if known else APOLOGY, "refusal": None}
    else:
        function = {"name": TOOL, "arguments": arguments(known=known)}
        call = {"id": CALL_ID, "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
    reason = "stop" if answered else "tool_calls"
    usage = ANSWERING_USAGE if answered else ASKING_USAGE
    return {
        "id": "chatcmpl-2" if answered else "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": SERVED_MODEL,
        "choices": [{"index": 0, "finish_reason": reason, "logprobs": None, "message": message}],
        "usage": usage.as_chat_completion(),
    }


def response(request: dict[str, Any], *, known: bool) -> dict[str, Any]:
    """Return the next turn, as the responses API gives it."""
    turns = request["input"] if isinstance(request["input"], list) else []
    answered = any(turn.get("type") == "function_call_output" for turn in turns)
    usage = ANSWERING_USAGE if answered else ASKING_USAGE
    if answered:
        text = {"type": "output_text", "text": ANSWER if known else APOLOGY, "annotations": [], "logprobs": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    else:
        item = {"type": "function_call", "id": "fc_1", "call_id": CALL_ID, "name": TOOL, "status": "completed"}
        item["arguments"] = arguments(known=known)
    return {
        "id": "resp_2" if answered else "resp_1",
        "object": "response",
        "created_at": CREATED,
        "completed_at": CREATED + 1,
        "status": "completed",
        "model": SERVED_MODEL,
        "output": [item],
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": request.get("tools", []),
        "top_p": 1.0,
        "usage": usage.as_response(),
    }


def arguments(*, known: bool) -> str:
    """Return what the model gives to the tool."""
    return json.dumps(KNOWN_ORDER if known else UNKNOWN_ORDER)

"""The programs of docs/clients.md, run as they stand there, each in a process of its own."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "clients.md"
PYTHON = HERE / ".venv" / "bin" / "python"
SECONDS = 300
OF_OUR_ENVIRONMENT = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}

FRAMEWORKS = {
    "openai-agents": "OpenAI Agents SDK",
    "langchain": "LangChain and LangGraph",
    "pydantic-ai": "Pydantic AI",
    "openai-v2": "OpenAI's client, and a loop of your own",
}
"""The name of each framework, and the heading of its example."""

CASES = {"": "/v1", "-failed-tool": "/unknown-order/v1", "-failed-call": "/rate-limited/v1"}
"""The name of each case, and the path of the fake model's base address that brings it about."""

OPTIONS = {
    "openai-v2": {
        "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_only",
    }
}
"""What a framework's example finds in its environment beside addresses and keys, as the page advises."""


@dataclass(frozen=True)
class Run:
    """What came of an example: how it ended, what it printed, the spans it made, and whom it tried to reach."""

    code: int
    output: str
    errors: str
    requests: list[dict[str, Any]]
    outsiders: list[str]

    @property
    def spans(self) -> list[dict[str, Any]]:
        """All spans, in the order in which they ended, as OTLP/JSON has them."""
        return [span for request in self.requests for span in spans_of(request)]


def spans_of(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the spans of a request in OTLP/JSON, whatever resource and scope they belong to."""
    scopes = [scope for resource in request["resourceSpans"] for scope in resource["scopeSpans"]]
    return [span for scope in scopes for span in scope["spans"]]


def program(framework: str) -> str:
    """Return the framework's example: the one Python block below its heading."""
    _, found, rest = PAGE.read_text().partition(f"\n## {FRAMEWORKS[framework]}\n")
    assert found, f"{PAGE.name} has no heading {FRAMEWORKS[framework]!r}"
    section = rest.partition("\n## ")[0]
    blocks = [part.partition("\n```")[0] for part in section.split("```python\n")[1:]]
    assert len(blocks) == 1, f"{len(blocks)} programs below {FRAMEWORKS[framework]!r}"
    return blocks[0] + "\n"


def install() -> None:
    """Bring the examples' environment, which is not the tests', up to ``uv.lock`` beside this file."""
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "The examples run in an environment of their own, which uv installs; there is no uv here."
    variables = {name: value for name, value in os.environ.items() if name not in OF_OUR_ENVIRONMENT}
    subprocess.run([uv, "sync", "--quiet", "--locked", "--project", str(HERE)], env=variables, check=True)


def run(framework: str, folder: Path, *, muster: str, key: str, model: str, **variables: str) -> Run:
    """Run a framework's example.

    ``muster`` is the address of the server to report to, ``key`` the API key for it, ``model`` the base address of
    the model server, ``variables`` more for its environment. ``folder`` gets the program and the recordings. The
    process sees nothing else of this one's environment, and works in ``folder``, so that ``agents`` is the framework's
    package and not ours.
    """
    script, spans, outsiders = folder / "example.py", folder / "spans.jsonl", folder / "outsiders"
    script.write_text(program(framework))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(HERE / "recorder"),
        "RECORDED_SPANS": str(spans),
        "RECORDED_OUTSIDERS": str(outsiders),
        "MUSTER_URL": muster,
        "MUSTER_KEY": key,
        "OPENAI_BASE_URL": model,
        "OPENAI_API_KEY": "not-a-key",
        **OPTIONS.get(framework, {}),
        **variables,
    }
    command = [str(PYTHON), str(script)]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    return Run(
        code=ended.returncode,
        output=ended.stdout,
        errors=ended.stderr,
        requests=[json.loads(line) for line in spans.read_text().splitlines()] if spans.exists() else [],
        outsiders=outsiders.read_text().split() if outsiders.exists() else [],
    )

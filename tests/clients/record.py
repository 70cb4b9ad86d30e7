"""Record anew what each framework reports: ``uv run python -m tests.clients.record``, after its version has changed.

Writes ``tests/agents/telemetry/recorded/<framework>[-<case>].json``, each one ``ExportTraceServiceRequest`` in
OTLP/JSON: what the tests of the mapping read, so that they need no framework.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from tests.clients.examples import CASES, FRAMEWORKS, Run, install, run, spans_of
from tests.clients.fake_model import fake_model

RECORDED = Path(__file__).parents[1] / "agents" / "telemetry" / "recorded"
PLACES = [
    (re.compile(r"/[^\s\"'\\]*?/(?=site-packages/)"), "/"),
    (re.compile(r"/[^\s\"'\\]*?/(?=lib/python3\.\d+/)"), "/"),
    (re.compile(r"/[^\s\"'\\]*?/(?=example\.py)"), "/"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:8080"),
]
"""What is this machine's own in a recording, and what stands there instead."""


NEW_YEAR = 1_767_225_600_000_000_000
"""2026-01-01 in nanoseconds, when every recording begins: spans of the future are refused, by whatever clock."""


def main() -> None:
    install()
    with fake_model() as model:
        for framework in FRAMEWORKS:
            for case, path in CASES.items():
                with tempfile.TemporaryDirectory() as folder:
                    # Nobody takes the spans, for the recording is made in the example's own process; the model
                    # server's 404 is an answer after which the exporter doesn't try again.
                    made = run(framework, Path(folder), muster=model, key="none", model=model + path)
                write(RECORDED / f"{framework}{case}.json", merged(made))


def write(file: Path, request: dict[str, Any]) -> None:
    begun = min(int(span["startTimeUnixNano"]) for span in spans_of(request))
    text = json.dumps(moved(request, NEW_YEAR - begun), indent=1, ensure_ascii=False)
    for place, instead in PLACES:
        text = place.sub(instead, text)
    file.write_text(text + "\n")


def moved(value: Any, nanoseconds: int) -> Any:
    """Return the message with all its times moved."""
    if isinstance(value, list):
        return [moved(item, nanoseconds) for item in value]
    if isinstance(value, dict):
        return {
            name: str(int(item) + nanoseconds) if name.endswith("UnixNano") else moved(item, nanoseconds)
            for name, item in value.items()
        }
    return value


def merged(made: Run) -> dict[str, Any]:
    """Return the run's spans as one request, as the batch processor sends them: resources and scopes once each."""
    resources: dict[str, dict[str, Any]] = {}
    for part in (part for request in made.requests for part in request["resourceSpans"]):
        key = json.dumps(part["resource"])
        whole = resources.setdefault(key, {**part, "scopeSpans": []})
        for spans in part["scopeSpans"]:
            known = [scope for scope in whole["scopeSpans"] if scope["scope"] == spans["scope"]]
            if known:
                known[0]["spans"] += spans["spans"]
            else:
                whole["scopeSpans"].append(spans)
    return {"resourceSpans": list(resources.values())}


if __name__ == "__main__":
    main()

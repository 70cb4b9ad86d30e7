"""What one rendering may cost. docs/templates.md tells them to people."""

import time
from dataclasses import dataclass, field

MAX_FILES = 500
MAX_SOURCE_BYTES = 1024 * 1024  # paths and contents of a template together
MAX_TOKENS = 40_000  # words and signs of the language, in all files together
MAX_DEPTH = 30
MAX_LOOPS_NESTED = 4
MAX_ELIFS = 100  # of one “if”
MAX_VARIABLES_BYTES = 256 * 1024  # as JSON
MAX_TEXT = 256 * 1024  # characters of a value, on the way through filters too
MAX_ITERATIONS = 20_000  # of all loops together
MAX_OUTPUT_BYTES = 8 * 1024 * 1024  # of all files together
MAX_SECONDS = 2.0


class TemplateError(ValueError):
    """A template can't be rendered: it is written wrongly, or costs too much. The message says why."""


@dataclass
class Budget:
    """What is left of a rendering's limits. Each step of a template draws on it."""

    tokens: int = MAX_TOKENS
    iterations: int = MAX_ITERATIONS
    output: int = MAX_OUTPUT_BYTES
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def tick(self) -> None:
        """Take a step. Raises TemplateError once the time is over."""
        if time.monotonic() > self.deadline:
            raise TemplateError(f"rendering takes longer than {MAX_SECONDS:g} seconds")

    def read(self, tokens: int) -> None:
        """Read so many words and signs of the language."""
        self.tokens -= tokens
        if self.tokens < 0:
            raise TemplateError(f"the template has more than {MAX_TOKENS:,} words and signs of the language")
        self.tick()

    def iterate(self) -> None:
        """Go round a loop once."""
        self.iterations -= 1
        if self.iterations < 0:
            raise TemplateError(f"the loops go round more than {MAX_ITERATIONS:,} times in all")
        self.tick()

    def write(self, text: str) -> None:
        """Put out a text."""
        self.output -= len(text.encode())
        if self.output < 0:
            raise TemplateError(f"the files grow larger than {MAX_OUTPUT_BYTES:,} bytes together")
        self.tick()


def check_text(value: object, length: int | None = None) -> None:
    """Raise TemplateError for a text that is, or is going to be, too long."""
    size = length if length is not None else len(value) if isinstance(value, str) else 0
    if size > MAX_TEXT:
        raise TemplateError(f"a value grows longer than {MAX_TEXT:,} characters")

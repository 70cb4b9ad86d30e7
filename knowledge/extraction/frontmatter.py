"""What stands before a Markdown text, between lines of ``---`` (YAML) or ``+++`` (TOML): words about it, not of it."""

import json
import re
import tomllib

from knowledge.extraction.base import one_line

LONGEST = 64 * 1024  # characters
LONGEST_NAME = 200
BLOCK = re.compile(r"\A(---|\+\+\+)[ \t]*\r?\n(.*?)^(?:\1|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
# A text may begin with a line across the page as well. YAML first names something; after that, what isn't indented
# names something too, is in a list, or ends one.
NAME = re.compile(r"[\"']?\w[\w .-]*[\"']?[ \t]*:(?:\s|$)")
MORE = re.compile(r"[ \t]|-(?:\s|$)|[]}]")
TITLE = re.compile(r"^title[ \t]*:[ \t]+(\S.*)$", re.MULTILINE | re.IGNORECASE)
COMMENT = re.compile(r"\s#.*")


def front_matter(text: str) -> tuple[int, str]:
    """Return where a text begins after what stands before it, 0 if nothing does, and the title that this states."""
    found = BLOCK.match(text[:LONGEST]) if text.startswith(("---", "+++")) else None
    if found is None:
        return 0, ""
    title = _toml(found[2]) if found[1] == "+++" else _yaml(found[2])
    return (0, "") if title is None else (found.end(), one_line(title))


def _toml(block: str) -> str | None:
    """Return the title, which may be empty; None if it isn't TOML."""
    try:
        stated = tomllib.loads(block.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    if block.strip() and not stated:
        return None
    title = stated.get("title", "")
    return title if isinstance(title, str) else ""


def _names_things(block: str) -> bool:
    lines = (line[:LONGEST_NAME] for line in block.split("\n") if line.strip() and not line.startswith("#"))
    return NAME.match(next(lines, "")) is not None and all(NAME.match(line) or MORE.match(line) for line in lines)


def _yaml(block: str) -> str | None:
    """Return the title where it is a plain or quoted scalar on a line of its own, as it is written in practice.

    It is empty where there is none such. None if this isn't YAML.
    """
    if block.strip() and not _names_things(block):
        return None
    found = TITLE.search(block)
    value = found[1].strip() if found else ""
    if value.startswith('"'):
        try:
            title, _ = json.JSONDecoder().raw_decode(value)
        except ValueError:
            return ""
        return str(title)
    if value.startswith("'"):
        return value[1:].replace("''", "\0").partition("'")[0].replace("\0", "'")
    return "" if value.startswith(("|", ">", "&", "*", "!", "[", "{", "#")) else COMMENT.sub("", value)

"""What stands before a Markdown text, between lines of ``---`` (YAML) or ``+++`` (TOML): words about it, not of it."""

import json
import re
import tomllib

from knowledge.extraction.base import one_line

LONGEST = 64 * 1024  # characters
LONGEST_NAME = 200
BLOCK = re.compile(r"\A(---|\+\+\+)[ \t]*\r?\n(.*?)^(?:\1|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
# A text may begin with a line across the page as well: what follows is data only if it names something.
NAME = re.compile(r"[\"']?[A-Za-z_][\w .-]*[\"']?\s*[:=]|\[")
TITLE = re.compile(r"^title[ \t]*:[ \t]+(\S.*)$", re.MULTILINE | re.IGNORECASE)
COMMENT = re.compile(r"\s#.*")


def front_matter(text: str) -> tuple[int, str]:
    """Return where a text begins after what stands before it, 0 if nothing does, and the title that this states."""
    found = BLOCK.match(text[:LONGEST]) if text.startswith(("---", "+++")) else None
    if found is None:
        return 0, ""
    first = next((line for line in found[2].splitlines() if line.strip() and not line.startswith("#")), "")
    if first and not NAME.match(first[:LONGEST_NAME]):
        return 0, ""
    return found.end(), one_line(_toml(found[2]) if found[1] == "+++" else _yaml(found[2]))


def _toml(block: str) -> str:
    try:
        title = tomllib.loads(block.replace("\r\n", "\n")).get("title", "")
    except (tomllib.TOMLDecodeError, RecursionError):
        return ""
    return title if isinstance(title, str) else ""


def _yaml(block: str) -> str:
    """Return the title where it is a plain or quoted scalar on a line of its own, as it is written in practice."""
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

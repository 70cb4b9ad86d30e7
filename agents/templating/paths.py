"""Paths of files that stay below the folder they are written into, on every system."""

import re
import unicodedata

from agents.templating.limits import TemplateError

MAX_PATH = 1000
MAX_PART_BYTES = 255
# Windows opens a device by these names, whatever comes after a dot.
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?\Z", re.IGNORECASE)
FORBIDDEN = set('<>:"|?*\\')


def check_path(path: str) -> None:
    """Raise TemplateError for a path that could lead elsewhere, or that some system can't write."""
    # Two wide dots are a name like others to most systems, and “..” to those that fold such letters.
    for spelling in {path, unicodedata.normalize("NFKC", path)}:
        _check_spelling(spelling)


def _check_spelling(path: str) -> None:
    if not path or len(path) > MAX_PATH:
        raise TemplateError(f"a path has 1 to {MAX_PATH} characters")
    if path.startswith("/"):
        raise TemplateError("a path begins below the root, not with “/”")
    for character in path:
        if character in FORBIDDEN or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise TemplateError(f"a path has no {character!a}")
    for part in path.split("/"):
        # Windows drops dots and spaces at the end, which would make “.. ” the folder above.
        if part != part.strip(" ") or part.endswith(".") or not part:
            raise TemplateError(f"“{part}” can't be a part of a path")
        if DEVICES.match(part) or len(part.encode()) > MAX_PART_BYTES:
            raise TemplateError(f"“{part[:40]}” can't be a part of a path on every system")


class Folder:
    """The paths taken so far. Those that differ only by case or by how letters are encoded are one to some systems."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.folders: dict[str, str] = {}

    def add(self, path: str) -> None:
        """Take a path. Raises TemplateError when it is bad, or when two files would stand in the same place."""
        check_path(path)
        key = _key(path)
        if taken := self.files.get(key) or self.folders.get(key):
            raise TemplateError(f"“{path}” is where “{taken}” is already")
        parts = key.split("/")
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            if taken := self.files.get(folder):
                raise TemplateError(f"“{path}” is below “{taken}”, which is a file")
            self.folders.setdefault(folder, path)
        self.files[key] = path


def _key(path: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
